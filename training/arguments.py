"""The arguments that several commands share, so that they are called and explained the same."""

import argparse
from pathlib import Path
from typing import TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
"""What `add_subparsers` gives."""


def add_command(commands: Commands, name: str, does: str, examples: str) -> argparse.ArgumentParser:
    """A command; its examples stand below its --help as they are written."""
    return commands.add_parser(
        name,
        help=does,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_plan(parser: argparse.ArgumentParser) -> None:
    """PLAN, one."""
    parser.add_argument("plan", type=Path, help="the plan, a TOML file")


def add_data(parser: argparse.ArgumentParser) -> None:
    """--data: what `read_dataset` reads."""
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of class folders, MVTec, or manifest CSV"
    )


def add_processes(parser: argparse.ArgumentParser) -> None:
    """--processes: how many a training is given."""
    parser.add_argument(
        "--processes",
        type=int,
        default=1,
        metavar="N",
        help="that train together here, each on its share of every batch; a GPU each where there "
        "are any (default 1)",
    )


def add_weights(parser: argparse.ArgumentParser) -> None:
    """--weights: what `with_weights_from` takes."""
    parser.add_argument(
        "--weights", type=Path, help='folder with MODEL.*.safetensors, taken for weights = "hub"'
    )
