"""`inspector study recheck`: a second opinion on the parts that passed."""

import argparse
import os
import threading
from datetime import UTC, datetime

from inspector.clock import SystemClock
from inspector.contract.bundle import Bundle
from inspector.contract.errors import BundleError, ConfigError
from inspector.contract.result import utc_text
from inspector.examine import journal_path
from inspector.runtime.loader import find_bundle, open_runtime
from inspector.runtime.revise import for_form
from inspector.serves import bundle_named, serving
from inspector.settings import Settings, held_revision, read_recipe, read_settings
from inspector.station.judging import Job
from inspector.study.kept import Lines, keep_plan
from inspector.study.progress import Progress
from inspector.study.recheck import (
    Passed,
    Recheck,
    Rechecked,
    RecheckPlan,
    conclude,
    passes_since,
    recheck,
    rows_of,
)
from inspector.study.recheck_control import control, with_first_opinion
from inspector.study.recheck_html import recheck_page
from inspector.study.recheck_words import remarks, sentences
from inspector.study.seen import Seen, gallery_of
from inspector.study.teacher import teacher_job
from inspector.study_office import Office

NICE = 10
NONE, SUSPECTS, NOT_ALL, STOPPED = 0, 3, 5, 130


def recheck_passes(args: argparse.Namespace) -> int:
    if args.suspect_at is not None and not args.teacher:
        raise ConfigError("--suspect-at: only with --teacher, a bundle has limits of its own")
    office = Office(args)
    # the station on this machine goes first; Linux counts niceness by thread
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
    settings = read_settings(args.settings)
    job, like = _judge(args, settings)
    plan = RecheckPlan(
        station=settings.station,
        since=_utc(args.since),
        until=_utc(args.until) if args.until else None,
        judge=job.runtime.bundle_id,
        suspect_at=job.limits.review_at,
        regions=job.recipe.regions,
    )
    keep_plan(office.folder, plan, "repeat it with the same words, or in another folder")
    passes, gone_before = passes_since(journal_path(args.settings), args.since, args.until)
    try:
        found, every = _work(settings, office, plan, passes, gone_before, job, like)
    except KeyboardInterrupt:
        print(f"\nkept in {args.out}: the same command goes on")
        return STOPPED
    pictures = gallery_of(
        (
            (each.result_id, each.part or "no id", _as_seen(each))
            for each in found.suspects
        ),
        settings.archive.folder,
    )  # fmt: skip
    office.leave("recheck", recheck_page(found, pictures), found, rows_of(every))
    print(f"{len(found.suspects)} suspect parts")
    for each in found.suspects[:20]:
        again = "-" if each.again is None else f"{each.again:.4f}"
        print(f"  {each.part or 'no id'}, row {each.seq}: {each.evaluation}, score {again}")
    for line in (*sentences(found), *remarks(found)):
        print(f"  {line}")
    print(office.where())
    if found.suspects:
        return SUSPECTS
    return NONE if found.complete else NOT_ALL


def _judge(args: argparse.Namespace, settings: Settings) -> tuple[Job, Bundle]:
    """Who gives the second opinion, and the bundle that stands for it in the report."""
    if args.teacher:
        recipe, like = serving(settings)
        return teacher_job(args.teacher, like, recipe, args.suspect_at), like
    folder = args.bundle.resolve()
    bundle = find_bundle(folder.parent, folder.name)
    recipe = read_recipe(settings)
    # its own limits: the recipe's were found with another model's scores
    changes = {"bundle": bundle.id, "limits": None}
    return Job(recipe.model_copy(update=changes), open_runtime(bundle)), bundle


def _work(
    settings: Settings,
    office: Office,
    plan: RecheckPlan,
    passes: list[Passed],
    gone_before: str | None,
    job: Job,
    like: Bundle,
) -> tuple[Recheck, list[Rechecked]]:
    archive, clock = settings.archive.folder, SystemClock()
    with Lines(office.folder / "rechecked.jsonl", durable=False) as lines:
        every = list(
            recheck(
                passes, job, archive=archive, clock=clock, lines=lines,
                progress=Progress("rechecking"),
            )
        )  # fmt: skip
    jobs = _Jobs(settings)
    every = list(with_first_opinion(every, jobs, archive, clock))
    checked = control(passes, jobs, job.recipe.name, archive, clock)
    caveats = []
    if plan.judge != like.id:
        caveats.append(
            f"{plan.judge} is a model without a bundle: a part counts as suspect from score "
            f"{plan.suspect_at:g} on, with no certificate; labels are those of {like.id}"
        )
    conditions = office.conditions(
        settings, like, job.recipe.name, job.limits,
        f"the station's journal and archive, parts that passed since {plan.since}"
        f"{f' and before {plan.until}' if plan.until else ''}, judged again by {plan.judge}",
        [], caveats=caveats,
    )  # fmt: skip
    return conclude(every, plan, gone_before, checked, conditions), every


class _Jobs:
    """The jobs of the bundles that passed the parts, opened once each."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._recipe, self._revision = read_recipe(settings), held_revision(settings)
        self._found: dict[str, Job | None] = {}

    def __call__(self, bundle_id: str) -> Job | None:
        if bundle_id not in self._found:
            self._found[bundle_id] = self._open(bundle_id)
        return self._found[bundle_id]

    def _open(self, bundle_id: str) -> Job | None:
        settings, recipe = self._settings, self._recipe
        try:
            bundle = bundle_named(settings, bundle_id)
            runtime = open_runtime(bundle, settings.runtime, settings.model_variant)
            if bundle_id != recipe.bundle:
                changes = {"bundle": bundle_id, "limits": None}
                return Job(recipe.model_copy(update=changes), runtime)
            recipe, _ = for_form(recipe, self._revision, runtime)
            return Job(recipe, runtime)
        except (BundleError, ConfigError):
            return None


def _as_seen(each: Rechecked) -> Seen:
    return Seen(
        evaluation=each.evaluation or "UNDEFINED",
        cause=None,
        reason=each.why,
        label=each.label,
        score=each.again,
        novelty=each.novelty,
        picture=each.image,
        seq=each.seq,
    )


def _utc(time: datetime) -> str:
    return utc_text(time.astimezone(UTC))
