"""`inspector review`: what people should look at, and what they say of it."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from inspector.arguments import part_count
from inspector.cli_delivery import Add, output
from inspector.contract.errors import ConfigError, StateError

if TYPE_CHECKING:
    from inspector.delivery.review_desk import Item, ReviewDesk

EPILOG = """\
examples:
  inspector review station.toml list --by anna
  inspector review station.toml label RESULT_ID scratch --by anna
  inspector review station.toml label RESULT_ID unclear --by anna
  inspector review station.toml label - --by anna < lines     RESULT_ID LABEL in each line
  inspector review station.toml undo 17 --by anna --why "wrong part"
  inspector review station.toml export --out reviews.jsonl

A label is a class of the bundle that judged the part; --new makes another. unclear: it cannot be
told from the picture.
"""
UNCLEAR = "unclear"
BLANK = " \t\r\n\ufeff"
"""Around a line of labels; an editor of Windows begins its file with the last."""


def add_commands(add: Add) -> None:
    review = add("review", _review, "parts that people should look at, and what they say of them")
    review.epilog, review.formatter_class = EPILOG, argparse.RawDescriptionHelpFormatter
    review.add_argument("settings", type=Path, metavar="STATION.TOML")
    review.add_argument("action", choices=("list", "label", "undo", "export"))
    review.add_argument(
        "named",
        nargs="?",
        metavar="PART",
        help="label: result_id, part id, or -: lines of standard input; undo: the review",
    )
    review.add_argument("label", nargs="?", metavar="LABEL", help="label: what the part is")
    review.add_argument("--by", metavar="NAME", help="who says so; list: for whom")
    review.add_argument("--why", default="", metavar="TEXT")
    review.add_argument("--severity", type=float, metavar="S", help="0 to 1, how grave it is")
    review.add_argument("--new", action="store_true", help="the label is a class not known yet")
    review.add_argument(
        "--policy", type=Path, metavar="REVIEW.TOML", help="list: not the station's own"
    )
    review.add_argument("--count", type=part_count, default=20, metavar="N", help="list: at most")
    review.add_argument("--out", type=Path, metavar="FILE", help="export: not to the screen")


def _review(args: argparse.Namespace) -> int:
    from inspector.delivery.review_desk import ReviewDesk
    from inspector.settings import read_settings, review_places, reviews_path

    settings = read_settings(args.settings)
    with ReviewDesk(review_places(settings), reviews_path(settings)) as desk:
        match args.action:
            case "list":
                return _list(desk, args)
            case "label":
                _label(desk, args)
            case "undo":
                _undo(desk, args)
            case _:
                _export(desk, args)
    return 0


def _list(desk: "ReviewDesk", args: argparse.Namespace) -> int:
    """1 where a disk has spoilt rows that were to be looked at."""
    from inspector.contract.strict import read_toml
    from inspector.delivery.review_policy import Policy, read_policy

    policy = read_toml(args.policy, Policy) if args.policy else read_policy(desk.store.path)
    form = "{:<36} {:<12} {:<20} {:<13} {:>6} {:>7} {:>8}  {}"
    heads = ("result_id", "why", "part", "verdict", "score", "novelty", "opinions", "picture")
    print(form.format(*heads))
    items = desk.queue(policy, by=args.by, limit=args.count)
    for item in items:
        score = "" if item.score is None else f"{item.score:.3f}"
        novelty = "" if item.novelty is None else f"{item.novelty:.2f}"
        why, part = item.interest or "second", item.part or "-"
        row = (item.result_id, why, part, item.evaluation, score, novelty, item.opinions)
        print(form.format(*row, item.picture))
    print(f"{len(items)} parts to look at" + ("" if len(items) < args.count else ", or more"))
    for words in desk.spoilt:
        print(f"note: {words}", file=sys.stderr)
    return 1 if desk.spoilt else 0


def _label(desk: "ReviewDesk", args: argparse.Namespace) -> None:
    if args.named is None or args.by is None or (args.label is None) is not (args.named == "-"):
        raise ConfigError("review label: needs a result_id or part id, a label, and --by NAME")
    if args.label:
        _keep(desk, desk.find(args.named), args.label, args)
        return
    for number, line in enumerate(sys.stdin, 1):
        if not line.strip(BLANK):
            continue
        try:
            named, label = _pair(line)
            item = desk.find(named)
            if not _said_already(desk, item, label, args):
                _keep(desk, item, label, args)
        except (ConfigError, StateError) as error:
            raise type(error)(f"line {number}: {error}") from None


def _keep(desk: "ReviewDesk", item: "Item", text: str, args: argparse.Namespace) -> None:
    from inspector.contract.review import Said
    from inspector.contract.strict import parse

    label = None if text == UNCLEAR else text
    words = {"label": label, "severity": args.severity, "by": args.by, "why": args.why}
    said = parse(Said, words, "review label")
    if label is not None:
        _require_known(label, item, desk, new=args.new)
    kept = desk.put(item, said)
    print(
        f"review {kept.id}: {item.result_id} is {label or UNCLEAR}, said by {args.by} "
        f"(opinion {kept.review.opinion}; the station: {item.evaluation})"
    )


def _said_already(desk: "ReviewDesk", item: "Item", text: str, args: argparse.Namespace) -> bool:
    """The very same, as where lines that ended half-way are given again."""
    for each in desk.store.of(item.result_id):
        said = each.review
        mine = each.undone is None and said.by == args.by
        if mine and (said.label or UNCLEAR, said.severity) == (text, args.severity):
            print(f"review {each.id}: {item.result_id} is {text}, said by {args.by} already")
            return True
    return False


def _pair(line: str) -> tuple[str, str]:
    named, _, label = line.strip(BLANK).partition(" ")
    if not label:
        raise ConfigError(f"review label: {line.strip(BLANK)!r}: must be RESULT_ID LABEL")
    return named, label.strip()


def _require_known(label: str, item: "Item", desk: "ReviewDesk", *, new: bool) -> None:
    """A slip of the keyboard is no new class. Raises ConfigError, BundleError."""
    from inspector.contract.review import class_said

    known = desk.classes(item.bundle).all
    if label in known:
        return
    for other in sorted(known):
        if class_said(other) == class_said(label):
            raise ConfigError(f"label {label!r}: is the class {other!r}: write it so")
    if not new:
        words = ", ".join(sorted(known)) or "none"
        raise ConfigError(
            f"label {label!r}: must be one of {words}, or {UNCLEAR}; --new makes a new class"
        )


def _undo(desk: "ReviewDesk", args: argparse.Namespace) -> None:
    if args.named is None or not args.named.isdecimal() or args.by is None:
        raise ConfigError("review undo: needs the review's number and --by NAME")
    kept = desk.undo(int(args.named), args.by, args.why)
    print(f"review {kept.id} is taken back: {kept.review.result_id} {kept.review.label or UNCLEAR}")


def _export(desk: "ReviewDesk", args: argparse.Namespace) -> None:
    """One JSON object a line, those taken back too."""
    text = "".join(f"{kept.model_dump_json(by_alias=True)}\n" for kept in desk.store.all())
    with output(args.out, "jsonl", desk.store.path) as out:
        out.write(text.encode())
    if args.out is not None:
        print(f"{args.out}: {text.count(chr(10))} reviews")
