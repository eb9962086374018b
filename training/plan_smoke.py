"""A plan for `--smoke`: the whole chain on a dozen images, in about a minute."""

from typing import Any

from training.plan import Plan, without_idle_teacher
from training.plan_networks import Teacher

SIDE, TEACHER_SIDE = 64, 96
"""Pixels; the teacher's where the plan gives it a size of its own."""


def smoke(plan: Plan) -> Plan:
    """The same chain small: tiny pictures, two epochs, no download, no promise."""
    small: dict[str, Any] = {"weights": "none", "epochs": 2, "batch": 8, "warmup_epochs": 0.0}
    image = plan.image.model_copy(update={"width": SIDE, "height": SIDE})

    peers = tuple(each.model_copy(update={"weights": "none"}) for each in plan.student.peers)

    def taught_by(each: Teacher) -> Teacher:
        side = TEACHER_SIDE if each.width else None
        return each.model_copy(update={**small, "handed": None, "width": side, "height": side})

    tiny = plan.model_copy(
        update={
            "name": f"{plan.name[:58]}-smoke",
            "image": image,
            "teacher": plan.teacher and taught_by(plan.teacher),
            "ensemble": tuple(taught_by(each) for each in plan.ensemble),
            "student": plan.student.model_copy(
                update={
                    **small,
                    "peers": peers,
                    "views": min(plan.student.views, 2),
                    "unlabelled": None,
                    "old": None,
                }
            ),
            "compress": plan.compress and plan.compress.small(),
            "split": plan.split.model_copy(
                update={
                    "golden": 0.25,
                    "calibration": 0.33,
                    "validation": 0.33,
                    "near_duplicate_at": 1.0,
                }
            ),
            "quality": plan.quality.model_copy(
                update={"allow_uncertified": True, "overkill_rate_at_most": 1.0}
            ),
            "export": plan.export.model_copy(
                update={
                    "golden_images": 4,
                    # entropy takes a second a layer
                    "quantise": plan.export.quantise.model_copy(update={"methods": ("minmax",)}),
                }
            ),
        }
    )
    return without_idle_teacher(tiny)
