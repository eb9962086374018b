"""`inspector hmi` and `inspector hmi-user`: the operator's pages, and who may open them."""

import argparse
from importlib import import_module
from pathlib import Path
from typing import Any

from inspector.cli_delivery import Add
from inspector.contract.errors import ConfigError

ROLES = ("viewer", "operator", "engineer", "admin")


def add_commands(add: Add) -> None:
    hmi = add("hmi", _hmi, "the operator's pages of some stations, for a browser")
    hmi.add_argument("settings", type=Path, metavar="HMI.TOML")

    user = add("hmi-user", _user, "accounts of the pages: list, add, link, role, remove")
    user.add_argument("settings", type=Path, metavar="HMI.TOML")
    user.add_argument("what", choices=("list", "add", "link", "role", "remove"))
    user.add_argument("name", nargs="?", metavar="NAME")
    user.add_argument("--role", choices=ROLES, help="add, role: what it may do")


def _hmi(args: argparse.Namespace) -> int:
    from inspector.logs import set_up_logs

    set_up_logs()
    code: int = _module("serve").serve(args.settings)
    return code


def _user(args: argparse.Namespace) -> int:
    """Beside the running pages or without them; a password is never seen or typed here."""
    lines: list[str] = _module("users").run(args.settings, args.what, args.name, args.role)
    for line in lines:
        print(line)
    return 0


def _module(name: str) -> Any:
    """Needs more than an edge installation has: says which extra."""
    try:
        return import_module(f"inspector.hmi.{name}")
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("inspector"):
            raise
        raise ConfigError(
            f"inspector hmi needs the hmi extra ({error.name} is not installed): "
            "pip install 'inspector[hmi]'"
        ) from None
