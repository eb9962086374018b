"""Which precision ships: INT8 only where it is quicker on this machine, and as safe."""

from typing import Literal

from training.export import Timing
from training.plan import Plan
from training.report import ModelRow

FASTER = 0.9
"""INT8 must take at most this share of the FP32 time to be worth a second rounding. Of the least
times: their ratio repeats to 1.5 % on a busy machine, that of the medians to 5 % (measured)."""
NEAR = 0.05
"""A ratio this near to that line may be on its other side when it is measured again."""
LOSS_AT_MOST = 0.005
"""Macro recall and AUROC that INT8 may lose on the validation parts."""
NOVELTY_RANKS_AT_LEAST = 0.9
"""Rank correlation of INT8's novelty with FP32's on the validation parts. On a network that was not
fine-tuned it was 0.68: other parts were called strange, though accuracy stayed."""


def int8_ratio(times: dict[str, Timing]) -> float | None:
    """The INT8 student's time in that of FP32, each undisturbed; None where there is no INT8."""
    if "student-int8" not in times:
        return None
    return times["student-int8"].least_ms / times["student"].least_ms


def choose_model(
    rows: tuple[ModelRow, ...],
    broken: str,
    ratio: float | None,
    int8: Literal["auto", "if_safe", "never"],
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
    if int8 == "auto" and ratio > FASTER:
        return "student", "INT8 is not clearly quicker on this machine"
    if plain.choice.basis == "certified" and small.choice.basis != "certified":
        return "student", "INT8 misses the escape goal"
    lost = {
        "macro recall": plain.validation.macro_recall - small.validation.macro_recall,
        "AUROC": plain.validation.auroc - small.validation.auroc,
    }
    for name, loss in lost.items():
        if loss > LOSS_AT_MOST:
            return "student", f"INT8 loses {100 * loss:.2f} points of {name} on validation parts"
    if small.novelty_ranks is not None and small.novelty_ranks < NOVELTY_RANKS_AT_LEAST:
        return "student", (
            f"INT8 finds other parts strange than FP32: rank correlation of novelty "
            f"{small.novelty_ranks:.2f} on validation parts, at least {NOVELTY_RANKS_AT_LEAST:g} "
            f"is asked"
        )
    if int8 == "if_safe":
        return "student-int8", "INT8 is as safe as FP32, and the plan does not ask if it is quicker"
    return "student-int8", "INT8 is quicker than FP32 on this machine and as safe"


def choice_warning(plan: Plan, ratio: float | None) -> str | None:
    """Said where the choice between INT8 and FP32 hangs on how the machine felt."""
    if plan.export.int8 != "auto" or ratio is None or abs(ratio - FASTER) > NEAR:
        return None
    return (
        f"INT8 took {ratio:.2f} of the FP32 time, near the line of {FASTER:g}: another run "
        f'may choose the other; export.int8 = "if_safe" or "never" settles it'
    )
