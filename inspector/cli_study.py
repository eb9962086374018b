"""`inspector study`: what a quality engineer asks of a station, and signs."""

import argparse
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from inspector.arguments import instant, part_count, share
from inspector.cli_delivery import Add
from inspector.contract.errors import ConfigError

ACCEPTANCE = """\
examples:
  inspector study acceptance station.toml --limits acceptance.toml --pictures parts --out study
                       pictures LABEL/PICTURE, or a CSV with image, label, part: the bundle that
                       serves the station's recipe judges them, with its limits and attestation
  inspector study acceptance station.toml --limits acceptance.toml --labels found.csv \\
      --since 2026-11-25T06:00 --until 2026-11-25T14:00 --out study
                       the station's own results, beside what people found: part, label

A label is one of the bundle's, a class that acceptance.toml ranks, OK or NOT_OK. What to write in
acceptance.toml: deploy/acceptance.example.toml.

exit codes: 0 accepted, 3 not accepted, 5 not enough parts (the report says how many more), 78 what
a person wrote cannot work, 1 anything else
"""

REPEATABILITY = """\
examples:
  inspector study repeatability station.toml --parts golden.csv --out study
                       golden.csv: part, label. A person shows each part --presentations times to
                       the running station, in an order drawn for each round; Ctrl-C, and the same
                       command goes on. Trigger kind command: Enter triggers; interval, continuous:
                       the first picture after Enter; mqtt, part_present: the line triggers
  inspector study repeatability station.toml --pictures taken --out study
                       pictures LABEL/PART/PICTURE, or a CSV with image, label, part: each part
                       taken several times, judged by the bundle that serves the station's recipe

A label is one of the bundle's, OK or NOT_OK. The bundle's golden pictures with noise added are no
presentations: what repeats there is the noise.

exit codes: 0 acceptable by AIAG's limits, 4 marginal, 3 unacceptable, 5 not decided (no good or no
defective parts, or not all was presented), 130 stopped: the same command goes on, 78 what a person
wrote cannot work, 1 anything else
"""

RECHECK = """\
examples:
  inspector study recheck station.toml --since 2026-11-24T06:00 --bundle bundles/NEW --out study
                       a new bundle judges the archived pictures of every pass again, by its limits
  inspector study recheck station.toml --since 2026-11-24T06:00 --out study \\
      --teacher release/work/export-teacher-0123/model.onnx
                       so does the large model that taught it, as a release leaves it in DIR/work

Journal and archive are read beside the running station and never changed. Stopped by Ctrl-C, the
same command goes on. Pictures of passes are kept where station.toml says archive.keep = "all".

exit codes: 0 every pass was judged again, none is suspect; 3 there are suspects; 5 none among those
that could be judged again, others could not; 130 stopped; 78 what a person wrote cannot work, or no
part passed since then; 1 anything else
"""


def add_commands(add: Add) -> None:
    study = add("study", _no_study, "repeatability, acceptance or recheck: a report to sign")
    studies = study.add_subparsers(title="studies", required=True, metavar="STUDY")

    def one(name: str, command: Callable[[argparse.Namespace], int], text: str, more: str) -> Any:
        sub = studies.add_parser(
            name,
            help=text,
            description=text,
            epilog=more,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.set_defaults(command=command)
        sub.add_argument("settings", type=Path, metavar="STATION.TOML")
        sub.add_argument("--out", type=Path, required=True, metavar="DIR", help="for its files")
        sub.add_argument("--by", metavar="NAME", help="who makes it; left out: the login's name")
        sub.add_argument("--pdf", action="store_true", help="print the report too, by Chromium")
        return sub

    repeat = one(
        "repeatability",
        _repeatability,
        "known parts shown again and again: agreement, kappa, misses, false alarms, scatter",
        REPEATABILITY,
    )
    shown = repeat.add_mutually_exclusive_group(required=True)
    shown.add_argument("--parts", type=Path, metavar="CSV", help="part, label: a person shows them")
    shown.add_argument("--pictures", type=Path, metavar="DIR|CSV", help="taken several times")
    repeat.add_argument("--presentations", type=part_count, metavar="N", help="of each part, 3")
    repeat.add_argument("--seed", type=int, metavar="N", help="of the order, 0")
    repeat.add_argument("--so-far", action="store_true", help="report on what was presented")

    accept = one(
        "acceptance",
        _acceptance,
        "escape and overkill of labelled parts against agreed limits",
        ACCEPTANCE,
    )
    accept.add_argument("--limits", type=Path, required=True, metavar="ACCEPTANCE.TOML")
    source = accept.add_mutually_exclusive_group(required=True)
    source.add_argument("--pictures", type=Path, metavar="DIR|CSV", help="labelled pictures")
    source.add_argument("--labels", type=Path, metavar="CSV", help="part, label: of the journal")
    _time(accept)

    again = one(
        "recheck",
        _recheck,
        "a new bundle or the teacher judges again what passed, and lists suspect parts",
        RECHECK,
    )
    again.add_argument("--since", type=instant, required=True, metavar="TIME", help="ISO 8601, UTC")
    again.add_argument("--until", type=instant, metavar="TIME", help="up to this, exclusive")
    judge = again.add_mutually_exclusive_group(required=True)
    judge.add_argument("--bundle", type=Path, metavar="DIR")
    judge.add_argument("--teacher", type=Path, metavar="MODEL.ONNX")
    again.add_argument(
        "--suspect-at",
        type=share,
        metavar="SCORE",
        help="with --teacher; left out: the serving bundle's review_at",
    )


def _time(parser: Any) -> None:
    parser.add_argument("--since", type=instant, metavar="TIME", help="ISO 8601, UTC")
    parser.add_argument("--until", type=instant, metavar="TIME", help="up to this, exclusive")


def _no_study(_args: argparse.Namespace) -> int:
    """Never reached: argparse asks for one first."""
    raise ConfigError("study: name one: see inspector study --help")


def _repeatability(args: argparse.Namespace) -> int:
    from inspector.cli_study_repeatability import repeatability

    return _kept(repeatability, args)


def _acceptance(args: argparse.Namespace) -> int:
    from inspector.cli_study_acceptance import acceptance

    return _kept(acceptance, args)


def _recheck(args: argparse.Namespace) -> int:
    from inspector.cli_study_recheck import recheck_passes

    return _kept(recheck_passes, args)


def _kept(study: Callable[[argparse.Namespace], int], args: argparse.Namespace) -> int:
    """One that ends before it has anything to keep leaves no folder of its own behind."""
    was_there = args.out.exists()
    try:
        return study(args)
    finally:
        if not was_there:
            with suppress(OSError):  # there is something in it, or it was not made
                args.out.rmdir()
