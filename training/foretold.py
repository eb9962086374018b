"""What cannot come of a plan's data, said before hours are spent on it."""

from collections.abc import Iterator

import numpy as np

from inspector.contract.bounds import trials_needed
from training.job import Data, part_numbers
from training.plan import Plan
from training.severity import goals_of


def unprovable(plan: Plan, data: Data) -> Iterator[str]:
    """A line for each goal that the calibration parts are too few for, were every one stopped; none
    where the plan does without a proof.
    """
    quality, rows = plan.quality, data.rows["calibration"]
    if quality.allow_uncertified:
        return
    numbers = part_numbers(data.images)
    of_class = np.array([data.images.samples[i].label for i in rows])
    defects = tuple(label for label in data.labels if label not in plan.good)
    for goal in goals_of(quality, defects):
        have = len(np.unique(numbers[rows[np.isin(of_class, goal.classes)]]))
        needed = trials_needed(goal.at_most, quality.confidence)
        if have < needed:
            yield (
                f"hint: a report will come of this, but no bundle: {goal} takes {needed} "
                f"calibration parts with such a defect, stopped one and all; there are {have}. "
                f"Collect {needed - have} more, or write quality.allow_uncertified = true"
            )
