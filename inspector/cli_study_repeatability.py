"""`inspector study repeatability`: parts shown to the station, or pictures of them."""

import argparse
from collections.abc import Callable
from uuid import uuid4

from inspector.contract.command import Command, Reply
from inspector.contract.errors import ConfigError
from inspector.contract.strict import parse
from inspector.examine import journal_path
from inspector.serves import bundle_named, serving, serving_job
from inspector.settings import Settings, read_settings, state_folder
from inspector.study.journal import caveats_of
from inspector.study.kept import Lines, keep_plan
from inspector.study.labels import (
    Labelled,
    Truth,
    read_labels,
    read_pictures,
    require_different,
    require_known,
)
from inspector.study.present import Keyboard, Plan, Session, Stopped, Taken, by_part, taken
from inspector.study.progress import Progress
from inspector.study.repeatability import Repeatability, evaluate, repeated_part, rows
from inspector.study.repeatability_html import repeatability_page
from inspector.study.repeatability_words import sentences
from inspector.study.seen import gallery_of, judge_parts, of_result, one_setting, standing
from inspector.study_office import Office, span_of
from inspector.supervise.door import ask

CODES = {"acceptable": 0, "unacceptable": 3, "marginal": 4, "not known": 5}
NOT_WHOLE, STOPPED = 5, 130
PRESENTATIONS_MAX = 100


def repeatability(args: argparse.Namespace) -> int:
    if args.pictures and (args.presentations or args.seed or args.so_far):
        raise ConfigError("--presentations, --seed, --so-far: only with --parts")
    if args.presentations is not None and not 2 <= args.presentations <= PRESENTATIONS_MAX:
        raise ConfigError(f"--presentations {args.presentations}: must be 2 to {PRESENTATIONS_MAX}")
    office = Office(args)
    settings = read_settings(args.settings)
    if args.pictures:
        return _report(_taken_pictures(args, settings, office), settings, office)
    try:
        found = _presented(args, settings, office)
    except (Stopped, KeyboardInterrupt):
        print(f"\nkept in {args.out}: the same command goes on; --so-far reports on what is there")
        return STOPPED
    return _report(found, settings, office)


def _report(found: Repeatability, settings: Settings, office: Office) -> int:
    doubtful = [
        (each.part, each.label, standing(each.presentations, good=each.good))
        for each in found.parts
        if each.doubt
    ]
    pictures = gallery_of(doubtful, settings.archive.folder)
    office.leave("repeatability", repeatability_page(found, pictures), found, rows(found))
    print(found.verdict)
    for line in sentences(found):
        print(f"  {line}")
    print(office.where())
    return CODES[found.verdict] if found.presentations == found.wanted else NOT_WHOLE


def _taken_pictures(args: argparse.Namespace, settings: Settings, office: Office) -> Repeatability:
    parts = read_pictures(args.pictures)
    for part in parts:
        if len(part.pictures) < 2:
            raise ConfigError(
                f"{args.pictures}: part {part.part} has one picture: a repeatability is of parts "
                "taken several times (LABEL/PART/PICTURE, or the column part)"
            )
    job, bundle = serving_job(settings)
    truth = Truth.of(bundle.manifest.labels, bundle.manifest.good)
    require_known(parts, truth, str(args.pictures))
    require_different(parts, str(args.pictures))
    judged = [
        repeated_part(part, seen, truth, job.limits)
        for part, seen in judge_parts(parts, job, Progress("judging"))
    ]
    conditions = office.conditions(
        settings, bundle, job.recipe.name, job.limits,
        f"pictures in {args.pictures}, judged by this program with the station's bundle",
        [args.pictures] if args.pictures.is_file() else [],
        caveats=[
            "the pictures were judged apart from the line; whether the parts were taken out and "
            "put in again between them only who took them knows"
        ],
    )  # fmt: skip
    return evaluate(judged, sum(len(part.pictures) for part in parts), conditions)


def _presented(args: argparse.Namespace, settings: Settings, office: Office) -> Repeatability:
    labelled = read_labels(args.parts)
    _, bundle = serving(settings)
    truth = Truth.of(bundle.manifest.labels, bundle.manifest.good)
    require_known(labelled, truth, str(args.parts))
    plan = Plan(
        station=settings.station,
        trigger=settings.trigger.kind,
        parts=tuple((part.part, part.label) for part in labelled),
        presentations=args.presentations or 3,
        seed=args.seed or 0,
    )
    keep_plan(
        office.folder, plan, "repeat it with the same parts and numbers, or in another folder"
    )
    with Lines(office.folder / "presentations.jsonl", durable=True) as lines:
        if args.so_far:
            shown = taken(lines.found)
        else:
            shown = Session(
                plan,
                lines,
                journal=journal_path(args.settings),
                trigger=_asking(settings),
                person=Keyboard(),
                say=lambda line: print(line, flush=True),
            ).run()
    return _evaluated(args, settings, office, plan, shown, truth)


def _asking(settings: Settings) -> Callable[[str], Reply]:
    """What has the station look at the part of a name."""

    def trigger(part: str) -> Reply:
        words = {"schema": 2, "id": f"study-{uuid4()}", "action": "trigger", "part": part}
        return ask(state_folder(settings), parse(Command, words, "command"))

    return trigger


def _evaluated(
    args: argparse.Namespace,
    settings: Settings,
    office: Office,
    plan: Plan,
    shown: Taken,
    truth: Truth,
) -> Repeatability:
    if not shown.results:
        raise ConfigError(f"--out {args.out}: nothing was presented yet")
    bundle_id, recipe, limits = one_setting((each for _, each in shown.results), "begin anew")
    parts = [
        repeated_part(Labelled(part, label), [of_result(each) for each in results], truth, limits)
        for part, label, results in by_part(plan, shown.results)
    ]
    seen = [each for part in parts for each in part.presentations]
    caveats = list(caveats_of(seen))
    if shown.taken_back:
        caveats.append(f"{shown.taken_back} presentations were taken back and made again")
    conditions = office.conditions(
        settings, bundle_named(settings, bundle_id), recipe, limits,
        f"parts of {args.parts}, shown to the running station{span_of(seen)}; the order of each "
        f"round was drawn (seed {plan.seed})",
        [args.parts], caveats=caveats,
    )  # fmt: skip
    return evaluate(parts, len(plan.order()), conditions)
