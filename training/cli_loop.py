"""inspector-train collect and promote: their arguments, and what they start."""

import argparse
import sys
from pathlib import Path

from inspector.contract.errors import ConfigError
from training.arguments import Commands, add_command, add_plan

COLLECT_EXAMPLES = """examples:
  inspector-train collect plan.toml /etc/inspector/s1.toml copies/s2 --into line \\
      --data pictures --from-bundle out/bundles/NAME-HASH      the first version
  inspector-train collect plan.toml /etc/inspector/s1.toml copies/s2 --into line \\
      --from-bundle out/bundles/NAME-HASH                      the next ones
  inspector-train release plan.toml --data line/v0001 --out out --from-bundle out/bundles/NAME-HASH

A source is a station's settings, or a folder with its reviews.db and reviews.pictures.
"""


def add_collect(commands: Commands) -> None:
    """The command's arguments."""
    collect = add_command(
        commands,
        "collect",
        "reviewed parts of stations become the next version of the data set",
        COLLECT_EXAMPLES,
    )
    add_plan(collect)
    collect.add_argument("sources", type=Path, nargs="+", metavar="SOURCE")
    collect.add_argument("--into", type=Path, required=True, help="folder of v0001, v0002 ...")
    collect.add_argument(
        "--data", type=Path, help="the first time: what the running bundle was made of"
    )
    collect.add_argument(
        "--from-bundle",
        type=Path,
        metavar="DIR",
        help="the running bundle: what it has learned is not held back; needed the first time",
    )
    collect.add_argument("--quiet", action="store_true", help="only the version's path and errors")
    collect.set_defaults(command=_collect)


def _collect(arguments: argparse.Namespace) -> int:
    from training.collect import From, collect
    from training.plan import read_plan
    from training.run import Run
    from training.running import running_bundle
    from training.screen import Screen
    from training.versions import lines

    if arguments.data is not None and arguments.from_bundle is None:
        raise ConfigError("collect: --data needs --from-bundle, the bundle that was made of it")
    given = None
    if arguments.from_bundle is not None:
        given = From(running_bundle(arguments.from_bundle), arguments.data)
    screen = Screen(quiet=arguments.quiet)
    plan = read_plan(arguments.plan)
    run = Run(arguments.into / ".work", screen.say)  # two at once would make one version
    try:
        found = collect(
            plan,
            arguments.sources,
            arguments.into,
            given,
            lambda rows, total: screen.bar(rows, total, "reading pictures"),
        )
    finally:
        run.close()
    for line in lines(found.facts, is_new=found.is_new):
        screen.say(line)
    if not found.is_new:
        print("nothing is new", file=sys.stderr)
    print(found.version)
    return 0


PROMOTE_EXAMPLES = """examples:
  inspector-train promote out/bundles/NEW bundles/OLD --data line/v0002 --out decision \\
      --reviews /etc/inspector/s1.toml --shadow /etc/inspector/s1.toml --dry-run
  inspector-train promote out/bundles/NEW bundles/OLD --data line/v0002 --out decision \\
      --terms promote.toml --key release.key --bundles bundles

exit codes: 0 promoted, 3 refused, 5 not enough evidence
"""
EXIT_CODES = {"promote": 0, "refuse": 3, "not enough evidence": 5}


def add_promote(commands: Commands) -> None:
    """The command's arguments."""
    promote = add_command(
        commands,
        "promote",
        "may a bundle replace another: decide, say why, sign it, offer it to stations",
        PROMOTE_EXAMPLES,
    )
    promote.add_argument(
        "candidate",
        type=Path,
        help="the new bundle where its release left it: DIR/networks says what it learned",
    )
    promote.add_argument("incumbent", type=Path, help="the folder of the bundle that runs")
    promote.add_argument(
        "--data", type=Path, required=True, help="the version the candidate was made of"
    )
    promote.add_argument("--out", type=Path, required=True, help="for promote.html, promote.json")
    promote.add_argument(
        "--terms",
        type=Path,
        metavar="TOML",
        help="what is asked; left out, the defaults: inspector-train keys promote",
    )
    for name, what in (
        ("reviews", "a station's settings or a copy of its folder: what people said; repeatable"),
        ("shadow", "a station's settings or its shadow's folder; repeatable"),
        ("bundles", "a folder that stations watch, to put it into; repeatable"),
    ):
        promote.add_argument(
            f"--{name}", type=Path, action="append", default=[], metavar="PATH", help=what
        )
    promote.add_argument("--key", type=Path, help="the private key to sign it by")
    promote.add_argument("--dry-run", action="store_true", help="decide and report, do nothing")
    promote.add_argument("--quiet", action="store_true", help="only the outcome and errors")
    promote.set_defaults(command=_promote)


def _promote(arguments: argparse.Namespace) -> int:
    from inspector.contract.bundle import read_bundle
    from inspector.contract.strict import read_toml
    from inspector.runtime.signature import require_key
    from training.dataset import read_dataset
    from training.deciding import decide
    from training.evidence import Pair, Sources, gather
    from training.promote import alone_in, offer, require_current, write_report
    from training.promotion import Terms
    from training.screen import Screen

    terms = read_toml(arguments.terms, Terms) if arguments.terms else Terms()
    screen = Screen(quiet=arguments.quiet)
    candidate, incumbent = read_bundle(arguments.candidate), read_bundle(arguments.incumbent)
    require_current(arguments.bundles, candidate, incumbent)
    if arguments.key is not None:
        require_key(arguments.key)
    pair = Pair(candidate, incumbent)
    sources = Sources(arguments.data, arguments.reviews, arguments.shadow)
    evidence = gather(
        pair,
        read_dataset(arguments.data),
        sources,
        lambda numbers, total: screen.bar(numbers, total, "judging"),
    )
    decision = decide(evidence, terms)
    for check in decision.checks:
        screen.say(f"{check.verdict:<8} {check.name}: {check.found}; {check.asked}")
    print(write_report(evidence, decision, arguments.out))
    if decision.outcome == "promote" and not arguments.dry_run:
        with alone_in(arguments.bundles):
            require_current(arguments.bundles, candidate, incumbent)
            for line in offer(arguments.candidate, arguments.bundles, arguments.key):
                print(line)
    tried = " (dry run)" if arguments.dry_run else ""
    print(f"{decision.outcome}{tried}: {candidate.id} in place of {incumbent.id}")
    for reason in decision.reasons:
        print(f"  {reason}")
    return EXIT_CODES[decision.outcome]
