"""`inspector check`: the recipe's own limits, held against each form of the bundle's model."""

from collections.abc import Iterator

from inspector.contract.bundle import Bundle, Manifest
from inspector.contract.outputs import acceptable, defect_score, expected_of, golden_parts
from inspector.contract.revision import Revision, limits_for
from inspector.contract.verdict import Limits
from inspector.finding import Finding
from inspector.runtime.loader import forms
from inspector.runtime.model import ModelRuntime
from inspector.runtime.revise import above, for_form
from inspector.station.recipe import Recipe


def check_limits(
    bundle: Bundle, runtime: ModelRuntime, recipe: Recipe, revision: Revision | None
) -> Iterator[Finding]:
    """What the recipe's own limits make of the golden defects: nobody else has certified them.

    By form of the model: at its next start the station may run another. runtime: the form that runs
    here. revision: that holds; None: the recipe's file does.
    """
    if recipe.limits is None:
        return
    limits, alone = recipe.limits, not bundle.manifest.variants
    if limits.novelty_at is not None and bundle.manifest.limits.novelty_at is None:
        yield Finding(
            "fault",
            f"limits.novelty_at {limits.novelty_at}: this bundle measures no novelty; leave it out",
        )
        return
    _, otherwise = for_form(recipe, revision, runtime)
    if otherwise is not None:
        yield Finding("note", otherwise)
    for each in forms(bundle):
        own = each.manifest.limits
        held = revision and limits_for(revision, each.variant, own, alone=alone)
        yield _passed(each.manifest, (held or limits).over(own), "" if alone else each.variant)


def _passed(manifest: Manifest, limits: Limits, form: str) -> Finding:
    """form: its name, where there are several."""
    golden, said = golden_parts(manifest, expected_of(manifest))
    good = acceptable(manifest)
    scores = [
        defect_score(row, good)
        for each, row in zip(golden, said.probabilities, strict=True)
        if each.label not in manifest.good
    ]
    passed = [sum(score < each.review_at for score in scores) for each in (limits, manifest.limits)]
    looser = "".join(f"; {each}" for each in above(limits, manifest.limits))
    return Finding(
        "note",
        f"limits{form and f' as {form}'}: the recipe's pass {passed[0]} of {len(scores)} golden "
        f"defects, the bundle's {passed[1]}; the bundle's certificate does not hold for the "
        f"recipe's{looser}",
    )
