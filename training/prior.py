"""How often each class comes, given back to a network that was taught to leave it out.

Logit adjustment (Menon et al., ICLR 2021) and balanced sampling teach a network to answer as if
every class came equally often: that finds the rare ones, and calls more good parts by their names
than bear them. With the log shares of the classes added to its logits the answers are those of the
mix it was trained on (eq. 9 there, read backwards). Worth most where a part is judged by its worst
tile: one false name in a dozen tiles is the part's.
"""

from inspector.contract.errors import ConfigError
from training.job import Data
from training.losses import log_prior
from training.plan import Plan
from training.plan_networks import Fit


def require_restorable(plan: Plan) -> None:
    """Raises ConfigError where weights on the loss have moved the answers, no one knows how far,
    or where a student learns answers of two kinds, with the prior and without.

    plan: with what a handed teacher learned (`sights.resolved`).
    """
    if plan.export.prior != "training":
        return
    student = plan.student
    for section, how in (*plan.named_teachers, ("student", student)):
        if how.imbalance in ("class_weights", "effective_number"):
            raise ConfigError(
                f"plan: export.prior 'training' goes with {section}.imbalance 'logit_adjustment' "
                f"or 'none': what {how.imbalance!r} does to the answers cannot be taken back"
            )
    if not student.alpha and not student.unlabelled:
        return
    if student.rebalance not in (0.0, 1.0):
        raise ConfigError(
            f"plan: export.prior 'training' goes with student.rebalance 0 or 1: what "
            f"{student.rebalance:g} does to the answers cannot be taken back"
        )
    for section, how in plan.named_teachers:
        theirs = how.leaves_prior_out or student.rebalance == 1.0
        if theirs != student.leaves_prior_out:
            without, with_it = (section, "labels") if theirs else ("labels", section)
            raise ConfigError(
                f"plan: export.prior 'training': how often each class comes is left out of what "
                f"the student learns from {without}, and is in what it learns from {with_it} "
                f"({section}: {_told(how)}; student: {_told(student)}), so it could not be given "
                f'back; write the same for both, or prior = "uniform"'
            )


def _told(how: Fit) -> str:
    return f"imbalance {how.imbalance!r}, sampling {how.sampling!r}"


def prior_of(plan: Plan, data: Data, how: Fit) -> tuple[float, ...]:
    """What is added to the network's logits, one number a class; empty: nothing is."""
    if plan.export.prior != "training" or not how.leaves_prior_out:
        return ()
    counts = data.material(plan).train_counts()  # as the loss takes them
    return tuple(round(each, 6) for each in log_prior(counts).tolist())
