"""The plan's [search]: which students are tried, at which sizes and precisions."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from training.plan_networks import Section, Share


class Search(Section):
    """Not read by a release: what `inspector-train search` may choose from."""

    models: Annotated[tuple[str, ...], Field(min_length=1, max_length=64)] = (
        "tf_mobilenetv3_small_minimal_100",
        "tf_mobilenetv3_small_075",
        "mobilenetv2_100",
        "tf_efficientnet_lite0",
        "resnet18",
    )
    """timm models tried as the student, the smallest first: neighbours are taken to be alike."""
    weights: str = "hub"
    """As the student's: "hub", "none", or a folder with MODEL.*.safetensors."""
    widths: Annotated[tuple[Annotated[int, Field(ge=32, le=2_048)], ...], Field(max_length=16)] = ()
    """Of the picture that the model sees, pixels; its height in proportion. Empty: the plan's."""
    precisions: Annotated[tuple[Literal["fp32", "int8"], ...], Field(min_length=1)] = (
        "fp32",
        "int8",
    )
    # Left out of what is fingerprinted where empty: a search that was begun without it goes on.
    prune: Annotated[
        tuple[Annotated[float, Field(gt=0.0, le=1.0)], ...],
        Field(max_length=8, exclude_if=lambda shares: not shares),
    ] = ()
    """Shares of a student's MACs that [compress.prune] is to leave; 1.0: uncut. How it cuts and
    teaches again stands in [compress]. Empty: the plan's [compress] as it is."""
    epochs: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Of a student while searching, at most this many after its last cut too; the winner is trained
    by student.epochs and compress.epochs. Absent: those."""
    overkill_rate_at_most: Share = 0.05
    """What holding the escape goal may cost in good parts stopped."""

    @model_validator(mode="after")
    def _once_each(self) -> Self:
        for key in ("models", "widths", "precisions", "prune"):
            found = getattr(self, key)
            twice = [each for each in found if found.count(each) > 1]
            if twice:
                raise ValueError(f"{key}: {twice[0]!r} appears twice")
        return self
