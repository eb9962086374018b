"""How often each class comes, given back to a network that was taught to leave it out.

Logit adjustment (Menon et al., ICLR 2021) and balanced sampling teach a network to answer as if
every class came equally often: that finds the rare ones, and calls more good parts by their names
than bear them. With the log shares of the classes added to its logits the answers are those of the
mix it was trained on (eq. 9 there, read backwards). Worth most where a part is judged by its worst
tile: one false name in a dozen tiles is the part's.
"""

from pathlib import Path

from inspector.contract.errors import ConfigError
from training.handover import OLD, read_networks
from training.job import Data
from training.losses import log_prior
from training.plan import Plan
from training.plan_networks import Fit, Old, Student


def require_restorable(plan: Plan) -> None:
    """Raises ConfigError where weights on the loss have moved the answers, no one knows how far,
    or where a student learns answers of two kinds, with the prior and without.

    plan: with what a handed teacher learned (`sights.resolved`).
    """
    fault = _fault(plan) if plan.export.prior == "training" else None
    if fault:
        raise ConfigError(f"plan: export.prior 'training'{fault}")


def student_leaves_prior_out(plan: Plan) -> bool | None:
    """Whether the student's answers are without the prior; None where it could not be given back.

    plan: with what a handed teacher learned (`sights.resolved`). Raises ConfigError where the
    running student cannot be read.
    """
    return None if _fault(plan) else plan.student.leaves_prior_out


def _fault(plan: Plan) -> str | None:
    """Why the prior cannot be given back to the plan's networks, in words."""
    student = plan.student
    for section, how in (*plan.named_teachers, ("student", student)):
        if how.imbalance in ("class_weights", "effective_number"):
            return (
                f" goes with {section}.imbalance 'logit_adjustment' or 'none': what "
                f"{how.imbalance!r} does to the answers cannot be taken back"
            )
    old = student.old if student.old and student.old.weight else None
    if old and (fault := _fault_beside(old, student)):
        return fault
    if not student.alpha and not student.unlabelled:
        return None
    if student.rebalance not in (0.0, 1.0):
        return (
            f" goes with student.rebalance 0 or 1: what {student.rebalance:g} does to the answers "
            f"cannot be taken back"
        )
    for section, how in plan.named_teachers:
        theirs = how.leaves_prior_out or student.rebalance == 1.0
        if theirs != student.leaves_prior_out:
            told = f"{section}: {_told(how)}; student: {_told(student)}"
            return _two_kinds(section, told, leave_out=theirs)
    return None


def _fault_beside(old: Old, student: Student) -> str | None:
    """Why what the running student says does not go with the labels."""
    theirs = read_networks(Path(old.networks), "student", OLD).student_leaves_prior_out
    if theirs is None:
        return (
            f": student.old {old.networks!r}: its release does not say whether how often each "
            f"class comes is in its answers (an older program's, or it learned both), so it could "
            f'not be given back; write old.weight = 0, a start and no more, or prior = "uniform"'
        )
    if theirs == student.leaves_prior_out:
        return None
    return _two_kinds("student.old", f"{old.networks}; student: {_told(student)}", leave_out=theirs)


def _two_kinds(section: str, told: str, *, leave_out: bool) -> str:
    without, with_it = (section, "labels") if leave_out else ("labels", section)
    return (
        f": how often each class comes is left out of what the student learns from {without}, and "
        f"is in what it learns from {with_it} ({told}), so it could not be given back; write the "
        f'same for both, or prior = "uniform"'
    )


def _told(how: Fit) -> str:
    return f"imbalance {how.imbalance!r}, sampling {how.sampling!r}"


def prior_of(plan: Plan, data: Data, how: Fit) -> tuple[float, ...]:
    """What is added to the network's logits, one number a class; empty: nothing is."""
    if plan.export.prior != "training" or not how.leaves_prior_out:
        return ()
    counts = data.material(plan).train_counts()  # as the loss takes them
    return tuple(round(each, 6) for each in log_prior(counts).tolist())
