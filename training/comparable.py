"""Which plans may stand in one table: those that are judged on the same parts by the same names."""

from collections.abc import Sequence

from inspector.contract.errors import ConfigError
from training.dataset import Dataset
from training.plan import Plan


def require_comparable(plans: Sequence[Plan], dataset: Dataset, folds: int) -> None:
    """Raises ConfigError where a table of them would mislead."""
    first = plans[0]
    for i, plan in enumerate(plans):
        if plan.name in (each.name for each in plans[:i]):
            raise ConfigError(
                f"compare: two plans are called {plan.name!r}; in the table name says "
                f"which is which"
            )
    wanted = {"good": "", "split.near_duplicate_at": ""}
    # Folds, or the data, say which parts are golden; else that hangs on every share of the split.
    if folds == 1 and all(sample.split != "golden" for sample in dataset.samples):
        shares = ("golden", "calibration", "validation")
        wanted |= dict.fromkeys((f"split.{share}" for share in shares), " with --folds 1")
    for plan in plans[1:]:
        for key, where in wanted.items():
            ours, theirs = (_said(each, key) for each in (plan, first))
            if ours != theirs:
                raise ConfigError(
                    f"compare: {key} is {theirs} in plan {first.name!r} and {ours} in "
                    f"{plan.name!r}: it must be the same{where}, or they are judged on different "
                    f"parts"
                )


def _said(plan: Plan, key: str) -> object:
    if key == "good":
        return sorted(plan.good)
    said: object = getattr(plan.split, key.removeprefix("split."))
    return said
