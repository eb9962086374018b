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


def is_left_out(how: Fit) -> bool:
    """Whether the network was taught to answer as if every class came equally often."""
    return how.imbalance == "logit_adjustment" or how.sampling == "balanced"


def require_restorable(plan: Plan) -> None:
    """Raises ConfigError where weights on the loss have moved the answers, no one knows how far."""
    if plan.export.prior != "training":
        return
    named = {"teacher": plan.teacher, "student": plan.student}
    for section, how in named.items():
        if how and how.imbalance in ("class_weights", "effective_number"):
            raise ConfigError(
                f"plan: export.prior 'training' goes with {section}.imbalance 'logit_adjustment' "
                f"or 'none': what {how.imbalance!r} does to the answers cannot be taken back"
            )


def prior_of(plan: Plan, data: Data, how: Fit) -> tuple[float, ...]:
    """What is added to the network's logits, one number a class; empty: nothing is."""
    if plan.export.prior != "training" or not is_left_out(how):
        return ()
    counts = data.material(plan).train_counts()  # as the loss takes them
    return tuple(round(each, 6) for each in log_prior(counts).tolist())
