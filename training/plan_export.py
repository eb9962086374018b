"""The plan's last part: what is made of the trained student, and what travels in the bundle."""

from typing import Annotated, Literal

from pydantic import Field

from inspector.contract.variant import VariantName
from training.plan_networks import Section, Share

Method = Literal["minmax", "percentile", "entropy"]
Tta = Literal["off", "left_right", "flips", "turns"]
Percentile = Annotated[float, Field(gt=90.0, lt=100.0)]


class Quantise(Section):
    """How INT8 is searched for: [export.quantise]."""

    methods: Annotated[tuple[Method, ...], Field(min_length=1)] = (
        "minmax",
        "percentile",
        "entropy",
    )
    """How an activation's range is taken from the calibration images; each is tried."""
    percentiles: Annotated[tuple[Percentile, ...], Field(min_length=1, max_length=8)] = (
        99.99,
        99.999,
    )
    """Shares of the values, in per cent, that a range of `percentile` keeps; each is tried."""
    weights: Literal["both", "per_channel", "per_tensor"] = "both"
    """One scale for each output channel of the weights, or one for all; both: both are tried."""
    loss_at_most: Share = 0.003
    """Recall that INT8 may lose on the validation parts, of the worst class and on average; beyond
    it, layers go back to float until it does not."""
    float_layers_at_most: Share = 0.5
    """Share of the layers that may go back to float; what needs more is not worth INT8."""
    sensitivity: Literal["auto", "always", "never"] = "auto"
    """Measuring each layer alone; auto: where layers must go back to float. never: none does."""


class Export(Section):
    int8: Literal["auto", "if_safe", "never"] = "auto"
    """auto: shipped if clearly faster on this machine and as safe as FP32; if_safe: if as safe,
    which is the same on every machine."""
    quantise: Quantise = Quantise()
    variants: tuple[VariantName, ...] = ("int8-avx2", "int8-arm")
    """Forms for other machines, where INT8 ships: x86 without VNNI, ARM. fp16: for GPUs, whatever
    becomes of INT8. int8-vnni is there wherever INT8 ships."""
    prior: Literal["uniform", "training"] = "uniform"
    """How often each class comes, as the probabilities take it. uniform: all alike, which is what
    logit adjustment and balanced sampling teach; training: as often as in training, restored after
    them. Limits find the same parts either way; what a part is called differs, and so do accuracy
    and macro-F1 (README). Other networks answer for training's mix anyway."""
    tta: Tta = "off"
    """Test-time augmentation: the student looks at each picture (or tile) also mirrored, and the
    mean ships, in one graph. left_right: 2 looks; flips: 4; turns: 8, quarter turns too, of square
    pictures. As many times as long, no parameter more; views of the plan should be mirrored so."""
    calibration_images: Annotated[int, Field(ge=1, le=2_000)] = 256
    golden_images: Annotated[int, Field(ge=2, le=200)] = 12
    """Pictures of the golden set that travel in the bundle for its self-test."""
