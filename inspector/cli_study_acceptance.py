"""`inspector study acceptance`: labelled pictures, or the journal beside people's labels."""

import argparse

from inspector.contract.bundle import Bundle
from inspector.contract.errors import ConfigError
from inspector.contract.strict import read_toml
from inspector.examine import journal_path
from inspector.serves import bundle_named, serving_job
from inspector.settings import Settings, read_settings
from inspector.study.acceptance import Acceptance, accept, judged_parts, rows, sentences
from inspector.study.acceptance_html import acceptance_page
from inspector.study.agreed import Agreed
from inspector.study.journal import caveats_of, join, results_between
from inspector.study.labels import (
    Truth,
    read_labels,
    read_pictures,
    require_different,
    require_known,
)
from inspector.study.progress import Progress
from inspector.study.seen import gallery_of, judge_parts, one_setting
from inspector.study_office import Office, span_of

CODES = {"accepted": 0, "not accepted": 3, "not enough parts": 5}


def acceptance(args: argparse.Namespace) -> int:
    if args.pictures and (args.since or args.until):
        raise ConfigError("--since, --until: only with --labels, pictures have no time")
    office = Office(args)
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
    print(office.where())
    return CODES[found.verdict]


def _from_pictures(
    args: argparse.Namespace, settings: Settings, agreed: Agreed, office: Office
) -> Acceptance:
    parts = read_pictures(args.pictures)
    job, bundle = serving_job(settings)
    truth = _truth(bundle, agreed, args)
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
    args: argparse.Namespace, settings: Settings, agreed: Agreed, office: Office
) -> Acceptance:
    labelled = read_labels(args.labels)
    results = results_between(journal_path(args.settings), args.since, args.until)
    joined = join(results, labelled, str(args.labels))
    hint = "narrow it by --since and --until to the time of one of them"
    bundle_id, recipe, limits = one_setting(joined.used, hint)
    bundle = bundle_named(settings, bundle_id)
    truth = _truth(bundle, agreed, args)
    require_known(labelled, truth, str(args.labels))
    every = [each for _, seen in joined.judged for each in seen]
    conditions = office.conditions(
        settings, bundle, recipe, limits,
        f"{len(every)} results of the station's journal{span_of(every)}, labels: {args.labels}",
        [args.limits, args.labels], caveats=caveats_of(every),
    )  # fmt: skip
    return accept(
        judged_parts(joined.judged, truth, agreed),
        agreed,
        conditions,
        unlabelled=joined.unlabelled,
        not_judged=joined.not_judged,
    )


def _truth(bundle: Bundle, agreed: Agreed, args: argparse.Namespace) -> Truth:
    """Raises ConfigError where a class that may pass is ranked among the defects."""
    manifest = bundle.manifest
    for name, rank in agreed.severity.stated().items():
        for label in rank.classes:
            if label in manifest.good:
                raise ConfigError(
                    f"{args.limits}: severity.{name}.classes {label!r}: bundle {bundle.id} lets "
                    f"it pass ({', '.join(manifest.good)}): it is no defect"
                )
    return Truth.of(manifest.labels, manifest.good, agreed.classes())
