"""Which precision ships: INT8 only where it is quicker on this machine, and as safe."""

from collections.abc import Sequence

from inspector.contract.bounds import lower_bound
from inspector.contract.variant import VariantName
from training.compress.found import Quantised
from training.evaluate import Figures
from training.export import Timing
from training.limits import GoalHeld
from training.plan import Plan
from training.plan_export import Export
from training.report import ModelRow

FASTER = 0.9
"""INT8 must take at most this share of the FP32 time to be worth a second rounding. Of the least
times: their ratio repeats to 1.5 % on a busy machine, that of the medians to 5 % (measured)."""
NEAR = 0.05
"""A ratio this near to that line may be on its other side when it is measured again."""
OVERKILL_GROWTH_AT_MOST = 0.02
"""Share of good validation parts that a small form's own limits may stop beyond FP32's: its limits
lie further below the defects they stop, and where scores are small every good part may lie
between."""
NOVELTY_RANKS_AT_LEAST = 0.9
"""Rank correlation of INT8's novelty with FP32's on the validation parts. On a network that was not
fine-tuned it was 0.68: other parts were called strange, though accuracy stayed."""


VARIANT_OF: dict[str, VariantName] = {
    "student-int8": "int8-vnni",
    "student-int8-avx2": "int8-avx2",
    "student-int8-arm": "int8-arm",
    "student-fp16": "fp16",
}
"""What a role is called as a bundle's variant."""


def int8_ratio(times: dict[str, Timing]) -> float | None:
    """The INT8 student's time in that of FP32, each undisturbed; None where there is no INT8."""
    if "student-int8" not in times:
        return None
    return times["student-int8"].least_ms / times["student"].least_ms


def choose_model(
    rows: tuple[ModelRow, ...],
    broken: str,
    ratio: float | None,
    export: Export,
    found: Quantised | None = None,
) -> tuple[str, str]:
    """The role that ships, and why.

    broken: why there is no INT8 row though it was made. Safety is decided on the validation parts.
    The words hold no measured time: they are in the bundle, which must come out the same when the
    job is repeated.
    """
    by_role = {row.role: row for row in rows}
    plain, small = by_role["student"], by_role.get("student-int8")
    if broken:
        return "student", f"INT8 is unfit: {broken}"
    if small is None or ratio is None:
        return "student", "the plan wants FP32"
    if found is not None and not found.held:
        return "student", f"INT8: {found.because}"
    if export.int8 == "auto" and ratio > FASTER:
        return "student", "INT8 is not clearly quicker on this machine"
    danger = why_unsafe(plain, small, export.quantise.loss_at_most)
    if danger:
        return "student", f"INT8 {danger}"
    if export.int8 == "if_safe":
        return "student-int8", "INT8 is as safe as FP32, and the plan does not ask if it is quicker"
    return "student-int8", "INT8 is quicker than FP32 on this machine and as safe"


def why_unsafe(plain: ModelRow, small: ModelRow, loss_at_most: float) -> str | None:
    """Why a small form is not as safe as FP32, by the validation parts; None where it is."""
    if plain.choice.basis == "certified" and small.choice.basis != "certified":
        return "misses the escape goal"
    lost = {
        "macro recall": plain.validation.macro_recall - small.validation.macro_recall,
        "AUROC": plain.validation.auroc - small.validation.auroc,
    }
    for name, loss in lost.items():
        if loss > loss_at_most:
            return f"loses {100 * loss:.2f} points of {name} on validation parts"
    mine, theirs = small.validation.overkill, plain.validation.overkill
    if mine.rate - theirs.rate > OVERKILL_GROWTH_AT_MOST:
        return (
            f"stops {mine.events} of {mine.n} good validation parts, FP32 {theirs.events}: at most "
            f"{100 * OVERKILL_GROWTH_AT_MOST:g} points more are allowed"
        )
    if small.novelty_ranks is not None and small.novelty_ranks < NOVELTY_RANKS_AT_LEAST:
        return (
            f"finds other parts strange than FP32: rank correlation of novelty "
            f"{small.novelty_ranks:.2f} on validation parts, at least {NOVELTY_RANKS_AT_LEAST:g} "
            f"is asked"
        )
    return None


def travelling(
    rows: tuple[ModelRow, ...], broken: dict[str, str], shipped: str, plan: Plan
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Roles that are variants in the bundle, in the order a station tries them, and sentences about
    those that were made and are not."""
    by_role = {row.role: row for row in rows}
    taken, left = [], [f"{VARIANT_OF[role]} is left out: {why}" for role, why in broken.items()]
    for role, name in VARIANT_OF.items():
        if role not in by_role or (role != "student-fp16" and shipped == "student"):
            continue  # why INT8 does not ship is said where that was decided
        why = why_unsafe(by_role["student"], by_role[role], plan.export.quantise.loss_at_most)
        faults = [f"it {why}"] if why else quality_faults(plan, by_role[role])
        if faults:
            left.append(f"{name} is left out: {faults[0]}")
        else:
            taken.append(role)
    return tuple(taken), tuple(left)


def quality_faults(plan: Plan, row: ModelRow) -> list[str]:
    """What of the plan's quality a model misses, in words."""
    quality, overkill = plan.quality, row.golden.overkill
    faults: list[str] = []
    if row.choice.basis == "certified":
        faults.extend(contradictions(row.choice.goals, row.golden, quality.confidence))
    elif not quality.allow_uncertified:
        faults.append(f"{row.choice.sentence} (quality.allow_uncertified = true accepts that)")
    if overkill.rate > quality.overkill_rate_at_most:
        faults.append(
            f"overkill {overkill} on the golden set, the plan allows "
            f"{100 * quality.overkill_rate_at_most:g} %"
        )
    return faults


def contradictions(
    goals: Sequence[GoalHeld], golden: Figures, confidence: float
) -> tuple[str, ...]:
    """Goals that the golden set says are missed, at this confidence, in words."""
    found = []
    for goal in goals:
        escape = golden.severity_escape.get(goal.name, golden.escape)
        at_least = lower_bound(escape.events, escape.n, confidence)
        if at_least > goal.at_most:
            found.append(
                f"the golden set contradicts the goal for {goal.name}: escape "
                f"{escape.events}/{escape.n}, at least {100 * at_least:.2f} %"
            )
    return tuple(found)


def choice_warning(plan: Plan, ratio: float | None) -> str | None:
    """Said where the choice between INT8 and FP32 hangs on how the machine felt."""
    if plan.export.int8 != "auto" or ratio is None or abs(ratio - FASTER) > NEAR:
        return None
    return (
        f"INT8 took {ratio:.2f} of the FP32 time, near the line of {FASTER:g}: another run "
        f'may choose the other; export.int8 = "if_safe" or "never" settles it'
    )
