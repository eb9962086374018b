"""A plan for `--smoke`: the whole chain on a dozen images, in about a minute."""

from training.plan import Plan, without_idle_teacher


def smoke(plan: Plan) -> Plan:
    """The same chain small: tiny pictures, two epochs, no download, no promise."""
    small = {"weights": "none", "epochs": 2, "batch": 8, "warmup_epochs": 0.0}
    image = plan.image.model_copy(update={"width": 64, "height": 64})
    teacher = plan.teacher and plan.teacher.model_copy(update={**small, "handed": None})
    tiny = plan.model_copy(
        update={
            "name": f"{plan.name[:58]}-smoke",
            "image": image,
            "teacher": teacher,
            "ensemble": tuple(each.model_copy(update=small) for each in plan.ensemble),
            "student": plan.student.model_copy(
                update={**small, "views": 2, "unlabelled": None, "old": None}
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
