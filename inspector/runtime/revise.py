"""A recipe is changed at work: held to what holds a reloaded bundle, and remembered.

Limits must make sense of the golden pictures and stay where the bundle's certificate holds, unless
the change says otherwise. For other regions the bundle is opened anew and tests itself; they must
fit the frame and be quick. What is measured of speed does not hang on limits: a machine that is
slow just now must not keep stricter ones out.
"""

import hashlib
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from inspector.contract.errors import BundleError, ConfigError
from inspector.contract.result import utc_text
from inspector.contract.revision import (
    RECIPES_MAX,
    REVISIONS_MAX,
    SCHEMA,
    RecipeChange,
    Revised,
    Revision,
    RevisionsFile,
    limits_for,
    read_revisions,
    say_change,
    say_limits,
    set_for,
)
from inspector.contract.verdict import Limits
from inspector.contract.whole import write_whole
from inspector.runtime.fitness import require_quick, require_sense
from inspector.runtime.model import ModelRuntime
from inspector.station.cycle import Job
from inspector.station.ports import Runtime
from inspector.station.recipe import Recipe, limits_of

log = logging.getLogger(__name__)


class Revisions:
    """The file beside the journal. One thread at a time writes it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def held(self, written: Recipe) -> Recipe:
        """What holds: the recipe's file, or its newest revision. Raises ConfigError."""
        revised = read_revisions(self._path).recipes.get(written.name)
        if revised is None or revised.newest is None:
            return written
        newest = revised.newest
        if revised.written != print_of(written):
            words = "recipe %s: its file was written anew and holds; revision %d does not any more"
            log.warning(words, written.name, newest.number)
            return written
        kept = {name: getattr(newest, name) for name in ("bundle", "regions", "limits")}
        return written.model_copy(update=kept)

    def newest(self, written: Recipe) -> Revision | None:
        """The one that holds; None: the file does. Raises ConfigError."""
        return self._of(read_revisions(self._path), written).newest

    def add(self, written: Recipe, change: RecipeChange, by: str, variant: str) -> Revision:
        """On disk when this returns. Raises ConfigError: then nothing has changed.

        variant: the form of the model that runs.
        """
        file = read_revisions(self._path)
        revised = self._of(file, written)
        revision = Revision(
            number=revised.last + 1,
            at=utc_text(datetime.now(UTC)),
            by=by[:300],
            **change.model_dump(include={"why", "bundle", "beyond_certificate"}),
            regions=change.regions,
            limits=change.limits,
            variant=variant,
        )
        kept = (*revised.revisions, revision)[-REVISIONS_MAX:]
        self._keep(file, written, revised.model_copy(update={"last": revision.number}), kept)
        return revision

    def take_back(self, written: Recipe, revision: Revision) -> None:
        """One that the station did not take. Raises ConfigError where it stays on the disk."""
        file = read_revisions(self._path)
        revised = self._of(file, written)
        kept = tuple(each for each in revised.revisions if each.number != revision.number)
        self._keep(file, written, revised, kept)

    def _of(self, file: RevisionsFile, written: Recipe) -> Revised:
        found = file.recipes.get(written.name)
        mark = print_of(written)
        if found is None or found.written != mark:
            return Revised(written=mark, last=found.last if found else 0)
        return found

    def _keep(
        self, file: RevisionsFile, written: Recipe, revised: Revised, kept: tuple[Revision, ...]
    ) -> None:
        changed = revised.model_copy(update={"revisions": kept})
        recipes = {**file.recipes, written.name: changed}
        if len(recipes) > RECIPES_MAX:  # it could be written, and never be read again
            raise ConfigError(
                f"{self._path}: {RECIPES_MAX} recipes were changed from afar, and all of it holds: "
                f"write the change into the file of {written.name} instead"
            )
        file = file.model_copy(update={"recipes": recipes, "schema_version": SCHEMA})
        try:
            write_whole(self._path, file.model_dump_json(by_alias=True, indent=1).encode())
        except OSError as error:
            raise ConfigError(f"{self._path}: cannot be written: {error.strerror}") from None


def print_of(written: Recipe) -> str:
    """Of what a revision replaces: what else is written into the file leaves revisions alone.

    Without what was left out, so that a key a later version knows makes no other file of it.
    """
    kept = {"bundle", "regions", "limits", "frame"}
    said = written.model_dump_json(include=kept, exclude_defaults=True)
    return hashlib.sha256(said.encode()).hexdigest()


def revised_job(
    job: Job,
    change: RecipeChange,
    open_bundle: Callable[[str], ModelRuntime],
    seen: tuple[int, int] | None,
) -> tuple[Job, str]:
    """The job as it would be, and old -> new in words.

    Raises ConfigError, BundleError in words where it may not be.
    """
    old, serving = job.recipe, job.runtime.bundle_id
    if change.bundle != serving:
        raise ConfigError(f"was made for bundle {change.bundle}, {serving} serves")
    before, after = (old.regions, old.limits), (change.regions, change.limits)
    words = say_change(before, after, job.runtime.limits)
    if not words:
        raise ConfigError("nothing would be another: regions and limits are what they are now")
    changes = {"bundle": serving, "regions": change.regions, "limits": change.limits}
    recipe = old.model_copy(update=changes)
    if change.regions == old.regions:
        _require_safe(recipe, job.runtime, beyond=change.beyond_certificate)
        return Job(recipe, job.runtime), words
    runtime = open_bundle(serving)
    ran, runs = job.runtime.running, runtime.running
    if change.limits is not None and runs.variant != ran.variant:
        raise ConfigError(
            f"limits were set for {ran.variant}, and {serving}, opened anew for other regions, "
            f"runs {runs.variant} by now ({runs.reason}): stop, select and look again"
        )
    _require_safe(recipe, runtime, beyond=change.beyond_certificate)
    require_quick(runtime, recipe, seen)
    return Job(recipe, runtime), words


def for_form(
    recipe: Recipe, revision: Revision | None, runtime: ModelRuntime
) -> tuple[Recipe, str | None]:
    """The recipe as it holds for the form of the model that runs, and in words why not as it says.

    revision: the one that holds; None: the recipe's file does, and its limits are a person's word.
    """
    own, variant = runtime.limits, runtime.running.variant
    alone = not runtime.manifest.variants
    if revision is None or revision.limits is None or set_for(revision, variant, alone=alone):
        return recipe, None
    limits = limits_for(revision, variant, own, alone=alone)
    beyond = ", beyond its certificate" if revision.beyond_certificate else ""
    return recipe.model_copy(update={"limits": limits}), (
        f"revision {revision.number}: its limits ({say_limits(revision.limits, own)}) were set for "
        f"{revision.variant or 'a form of the model that was not kept'}{beyond}, and {variant} "
        f"runs: the stricter of them and {variant}'s own hold ({say_limits(limits, own)}) until "
        "they are set anew"
    )


def warn_if_looser(job: Job) -> None:
    """Of limits in a recipe's file: nobody was asked for which form of the model they are meant."""
    for each in above(job.limits, job.runtime.limits):
        words = "recipe %s: %s, as %s: more may escape than its certificate says"
        log.warning(words, job.recipe.name, each, job.runtime.running.variant)


def _require_safe(recipe: Recipe, runtime: Runtime, *, beyond: bool) -> None:
    """Limits that let more pass than the bundle promises are somebody's decision, or none."""
    own, new = runtime.limits, limits_of(recipe, runtime.limits)
    if recipe.limits is None:
        return
    looser = above(new, own)
    if looser and not beyond:
        raise ConfigError(
            f"{' and '.join(looser)}: more may escape than the bundle's certificate says; only "
            "with beyond_certificate"
        )
    if not isinstance(runtime, ModelRuntime):
        return  # one without golden pictures
    try:
        require_sense(runtime.manifest.model_copy(update={"limits": new}))
    except BundleError as error:
        raise BundleError(f"however it is meant: {error}") from None


def above(new: Limits, own: Limits) -> list[str]:
    """What of the new limits is looser than the bundle's own; reject_at lets nothing pass."""
    pairs = {name: (getattr(new, name), getattr(own, name)) for name in ("review_at", "novelty_at")}
    return [
        f"{name} {mine:.6g} is above the bundle's {its:.6g}"
        for name, (mine, its) in pairs.items()
        if mine is not None and its is not None and mine > its
    ]
