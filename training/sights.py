"""The pictures in the sizes that a plan's networks see: the student's, and a teacher's own.

A teacher that sees more teaches a student that is quick. What a view is must not hang on who looks
at it (Beyer et al. 2022, "consistent"): it is drawn once, in the largest of these sizes, and
brought from there to the others.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from inspector.contract.errors import ConfigError
from inspector.contract.image import ImageSpec
from training.handover import HANDED, Networks, read_networks
from training.job import Data, Job
from training.material import Larger, Material
from training.plan import Plan
from training.plan_networks import Teacher, require_proportions, require_rebalanced_once
from training.run import Stage


class Sight(NamedTuple):
    """All pictures in one size."""

    job: Job
    """Its plan's [image] is of that size."""
    data: Data
    split: Stage

    @property
    def image(self) -> ImageSpec:
        return self.job.plan.image


class Apart(NamedTuple):
    """What differs for teachers who do not see what their student sees."""

    sees: tuple[ImageSpec | None, ...]
    """Of each teacher; None: as the student."""
    larger: Larger | None
    """None where nobody sees more than the student."""


class Sights:
    """What each network of a plan sees. Rows are the same in all of them."""

    def __init__(self, plan: Plan, read: Callable[[ImageSpec], Sight]) -> None:
        """read: is called once for each size. plan: with its teachers' sizes (`resolved`)."""
        images = dict.fromkeys((plan.image, *map(plan.seen_by, plan.teachers)))
        self._by_image = {image: read(image) for image in images}
        self._plan = plan
        self.own = self._by_image[plan.image]
        """The student's."""
        self.teachers = tuple(self._by_image[plan.seen_by(how)] for how in plan.teachers)

    def of(self, role: str) -> Sight:
        """What a model of a release is judged on."""
        return self.teachers[0] if role == "teacher" else self.own

    @property
    def drawn(self) -> Sight:
        """In which views are drawn that teachers and student see."""
        return max((self.own, *self.teachers), key=lambda sight: sight.image.width)

    @property
    def apart(self) -> Apart | None:
        """None where all see the same."""
        if len(self._by_image) == 1:
            return None
        own, drawn = self.own, self.drawn
        larger = None
        if drawn is not own:
            larger = Larger(drawn.data.images.pixels, drawn.image, own.image)
        sees = tuple(None if sight is own else sight.image for sight in self.teachers)
        return Apart(sees, larger)

    @property
    def material(self) -> Material:
        """What the student learns from; its views are drawn in the largest of the sizes."""
        job, data, _ = self.own
        return replace(data.material(job.plan), larger=self.apart.larger if self.apart else None)

    def changed(self, change: Callable[[Sight], Sight]) -> "Sights":
        """The same with a change made to the data in each size."""
        return Sights(self._plan, lambda image: change(self._by_image[image]))


def resolved(plan: Plan) -> Plan:
    """The plan with what a handed teacher's release says of it: how it was taught to see rare
    classes, and the size at which it was trained, where the plan names none and that is not its.

    Raises ConfigError where its networks cannot be read, where its pictures were of another shape,
    or its answers are without the prior that the plan takes off them.
    """
    how = plan.teacher
    if how is None or not how.handed:
        return plan
    facts = read_networks(Path(how.handed), "teacher", HANDED)
    if facts.teacher_imbalance and facts.teacher_sampling:
        learned = {"imbalance": facts.teacher_imbalance, "sampling": facts.teacher_sampling}
        how = how.model_copy(update=learned)
        plan = plan.model_copy(update={"teacher": how})
    try:
        require_rebalanced_once(plan.student, how, f"teacher {how.handed}")
    except ValueError as error:
        raise ConfigError(f"plan: {error}") from None
    return _sized(plan, how, facts)


def _sized(plan: Plan, how: Teacher, facts: Networks) -> Plan:
    if how.width is not None:
        return plan
    seen = facts.teacher_image or facts.image
    if (seen.width, seen.height) == (plan.image.width, plan.image.height):
        return plan
    try:
        require_proportions(plan.image, seen, "teacher")
    except ValueError as error:
        raise ConfigError(f"plan: {HANDED} {how.handed!r}: {error}") from None
    sized = how.model_copy(update={"width": seen.width, "height": seen.height})
    return plan.model_copy(update={"teacher": sized})
