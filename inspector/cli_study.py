"""`inspector study`: what a quality engineer asks of a station, and signs."""

import argparse
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inspector.arguments import instant
from inspector.cli_delivery import Add
from inspector.contract.errors import ConfigError

if TYPE_CHECKING:
    from inspector.contract.bundle import Bundle
    from inspector.contract.verdict import Limits
    from inspector.settings import Settings
    from inspector.station.judging import Job
    from inspector.study.acceptance import Acceptance
    from inspector.study.conditions import Conditions

ACCEPTED, NOT_ACCEPTED, NOT_ENOUGH = 0, 3, 5

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


def _time(parser: Any) -> None:
    parser.add_argument("--since", type=instant, metavar="TIME", help="ISO 8601, UTC")
    parser.add_argument("--until", type=instant, metavar="TIME", help="up to this, exclusive")


def _no_study(_args: argparse.Namespace) -> int:
    raise ConfigError("study: name one: see inspector study --help")


def _acceptance(args: argparse.Namespace) -> int:
    from inspector.contract.strict import read_toml
    from inspector.settings import read_settings
    from inspector.study.acceptance import rows, sentences
    from inspector.study.acceptance_html import acceptance_page
    from inspector.study.agreed import Agreed
    from inspector.study.seen import gallery_of

    if args.pictures and (args.since or args.until):
        raise ConfigError("--since, --until: only with --labels, pictures have no time")
    office = _Office(args)
    settings = read_settings(args.settings)
    agreed = read_toml(args.limits, Agreed)
    of = _from_pictures if args.pictures else _from_journal
    found = of(args, settings, agreed, office)
    pictures = gallery_of(
        ((each.part, each.label, each.standing) for each in found.escaped), settings.archive.folder
    )
    office.leave("acceptance", acceptance_page(found, pictures), found, rows(found))
    print(found.verdict)
    for line in sentences(found):
        print(f"  {line}")
    office.say_where()
    codes = {"accepted": ACCEPTED, "not accepted": NOT_ACCEPTED, "not enough parts": NOT_ENOUGH}
    return codes[found.verdict]


def _from_pictures(
    args: argparse.Namespace, settings: "Settings", agreed: Any, office: "_Office"
) -> "Acceptance":
    from inspector.study.acceptance import accept, judged_parts
    from inspector.study.labels import Truth, read_pictures, require_different, require_known
    from inspector.study.progress import Progress
    from inspector.study.seen import judge_parts

    parts = read_pictures(args.pictures)
    job, bundle = serving_job(settings)
    manifest = bundle.manifest
    truth = Truth.of(manifest.labels, manifest.good, agreed.classes())
    require_known(parts, truth, str(args.pictures))
    require_different(parts, str(args.pictures))
    judged = judged_parts(judge_parts(parts, job, Progress("judging")), truth, agreed)
    source = f"pictures in {args.pictures}, judged by this program with the station's bundle"
    conditions = office.conditions(
        settings, bundle, job.recipe.name, job.limits, source,
        [args.limits, *([args.pictures] if args.pictures.is_file() else [])],
        caveats=[
            "the pictures were judged apart from the line: its camera, triggers, deadlines and "
            "handling of the parts were not tried"
        ],
    )  # fmt: skip
    return accept(judged, agreed, conditions)


def _from_journal(
    args: argparse.Namespace, settings: "Settings", agreed: Any, office: "_Office"
) -> "Acceptance":
    from inspector.examine import journal_path
    from inspector.study.acceptance import accept, judged_parts
    from inspector.study.journal import caveats_of, join, results_between
    from inspector.study.labels import Truth, read_labels, require_known
    from inspector.study.seen import one_setting

    labelled = read_labels(args.labels)
    results = results_between(journal_path(args.settings), args.since, args.until)
    joined = join(results, labelled, str(args.labels))
    hint = "narrow it by --since and --until to the time of one of them"
    bundle_id, recipe, limits = one_setting(joined.used, hint)
    bundle = bundle_named(settings, bundle_id)
    manifest = bundle.manifest
    truth = Truth.of(manifest.labels, manifest.good, agreed.classes())
    require_known(labelled, truth, str(args.labels))
    every = [each for _, seen in joined.judged for each in seen]
    conditions = office.conditions(
        settings, bundle, recipe, limits,
        f"{len(every)} results of the station's journal{_span(every)}, labels: {args.labels}",
        [args.limits, args.labels], caveats=caveats_of(every),
    )  # fmt: skip
    return accept(
        judged_parts(joined.judged, truth, agreed),
        agreed,
        conditions,
        unlabelled=joined.unlabelled,
        not_judged=joined.not_judged,
    )


def _span(seen: Iterable[Any]) -> str:
    times = sorted(each.captured_at for each in seen if each.captured_at is not None)
    return f" from {times[0]} to {times[-1]}" if times else ""


class _Office:
    """Where a study is kept, and what is written of how it was made."""

    def __init__(self, args: argparse.Namespace) -> None:
        """Raises ConfigError now, not after an hour of parts."""
        from inspector.devices.quiet import quiet_cv2
        from inspector.study.conditions import user
        from inspector.study.files import browser, study_folder

        quiet_cv2()
        self._printer = browser() if args.pdf else None
        self.folder = study_folder(args.out)
        self._settings_file: Path = args.settings
        self.by: str = args.by or user()
        self.begun_at = now()
        self._written: list[Path] = []

    def conditions(
        self,
        settings: "Settings",
        bundle: "Bundle",
        recipe: str,
        limits: "Limits",
        source: str,
        files: Sequence[Path],
        caveats: Iterable[str] = (),
    ) -> "Conditions":
        from inspector.study.conditions import BundleUsed, Conditions, FileUsed, Machine

        used = [self._settings_file, settings.recipe, *files]
        return Conditions(
            by=self.by,
            begun_at=self.begun_at,
            ended_at=now(),
            station=settings.station,
            topic_root=settings.topic_root,
            recipe=recipe,
            limits=limits,
            bundle=BundleUsed.of(bundle),
            files=tuple(FileUsed.of(path) for path in used),
            camera=settings.camera.model_dump(mode="json", exclude_none=True),
            trigger=settings.trigger.model_dump(mode="json", exclude_none=True),
            source=source,
            caveats=tuple(caveats),
            machine=Machine.here(),
        )

    def leave(self, name: str, page: str, figures: Any, rows: Sequence[Any]) -> None:
        from inspector.study.files import print_pdf, write_study

        self._written = list(write_study(self.folder, name, page, figures, rows))
        if self._printer:
            self._written.append(print_pdf(self._printer, self._written[0]))

    def say_where(self) -> None:
        print(f"written: {', '.join(map(str, self._written))}")


def now() -> str:
    from inspector.contract.result import utc_text

    return utc_text(datetime.now(UTC))


def bundle_named(settings: "Settings", bundle_id: str) -> "Bundle":
    """One of the station's bundles, verified. Raises BundleError."""
    from inspector.runtime.loader import find_bundle
    from inspector.runtime.signature import trust_in

    bundles = settings.bundles
    return find_bundle(bundles.folder, bundle_id, trust_in(bundles.public_key))


def serving_job(settings: "Settings") -> "tuple[Job, Bundle]":
    """The recipe, and the bundle that serves it, as the station would after a restart.

    Raises ConfigError, BundleError.
    """
    from inspector.runtime.loader import open_runtime
    from inspector.runtime.served import serving_bundle
    from inspector.settings import read_recipe
    from inspector.station.judging import Job

    recipe = read_recipe(settings)
    bundle = bundle_named(settings, serving_bundle(settings.journal.path, recipe))
    return Job(recipe, open_runtime(bundle, settings.model_threads)), bundle
