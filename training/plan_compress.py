"""The plan's [compress]: the trained student made smaller, then taught by what it was."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from training.plan_networks import Positive, Rate, Section

Steps = Annotated[int, Field(ge=1, le=20)]
Multiple = Annotated[int, Field(ge=1, le=64)]
Epochs = Annotated[int, Field(ge=1, le=10_000)]


class Prune(Section):
    """Whole channels go: filters of convolutions, neurons of linear layers."""

    by: Literal["l1", "activation", "taylor"] = "taylor"
    """Which channels matter least. l1: those of the smallest weights (Li 2017); activation: that
    say least on training pictures (Hu 2016); taylor: whose going would change the training loss
    least, to first order (Molchanov 2019)."""
    across: Literal["layer", "network"] = "layer"
    """Where they are compared: each layer gives the same share, or the whole network's least go."""
    macs: Rate | None = None
    """What is to be left, as a share of the student's MACs. One of macs, parameters, latency."""
    parameters: Rate | None = None
    """The same, as a share of its parameters."""
    latency: Rate | None = None
    """The same, as a share of its time in onnxruntime, one thread, measured on this machine."""
    steps: Steps = 3
    """Cuts on the way, each by the same factor, with training between them."""
    multiple: Multiple = 8
    """What is left of a cut layer's channels is one of it: kernels compute so many at once."""

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        _one_of(self, "macs", "parameters", "latency")
        return self

    @property
    def target(self) -> tuple[Literal["macs", "parameters", "latency"], float]:
        """Of what a share is to be left, and which."""
        if self.macs is not None:
            return "macs", self.macs
        if self.parameters is not None:
            return "parameters", self.parameters
        return "latency", self.latency or 0.0


class LowRank(Section):
    """Layers become products of smaller ones: linear and 1 x 1 by SVD, others by Tucker-2."""

    energy: Rate | None = None
    """Of each layer's squared singular values that its rank keeps. One of energy, macs."""
    macs: Rate | None = None
    """What is to be left, as a share of the MACs before: the energy is found that gives it."""
    multiple: Multiple = 8
    """Ranks are rounded up to it."""

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        _one_of(self, "energy", "macs")
        return self


class Sparse(Section):
    """Single weights become zero. onnxruntime takes as long as before: only packed files shrink."""

    sparsity: Rate
    """Share of the weights of convolutions and linear layers, the head's aside, that are zero."""
    steps: Steps = 3


class Compress(Section):
    """In this order: prune, low_rank, sparse. After each cut the trained student is the teacher."""

    epochs: Epochs = 12
    """Of training after the last cut."""
    step_epochs: Epochs = 2
    """Of training after each earlier one. What is not said here is as [student] has it."""
    lr: Positive = 5e-4
    alpha: Annotated[float, Field(gt=0.0, le=1.0)] = 0.9
    """(1 - alpha) * loss on labels + alpha * loss on the answers of the student as it was."""
    temperature: Positive = 2.0
    feature_weight: Annotated[float, Field(ge=0.0)] = 1.0
    """Of 1 - cosine between its projected features and those of the student as it was."""
    prune: Prune | None = None
    low_rank: LowRank | None = None
    sparse: Sparse | None = None

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if not self.kinds:
            raise ValueError("needs one or more of [compress.prune], .low_rank, .sparse")
        return self

    @property
    def kinds(self) -> tuple[str, ...]:
        """What is done, in order."""
        each = {"prune": self.prune, "low_rank": self.low_rank, "sparse": self.sparse}
        return tuple(name for name, rule in each.items() if rule)

    def small(self) -> "Compress":
        """The same in one short step each, for --smoke."""
        one = {"steps": 1}
        update = {
            "epochs": 1,
            "step_epochs": 1,
            "prune": self.prune and self.prune.model_copy(update=one),
            "sparse": self.sparse and self.sparse.model_copy(update=one),
        }
        return self.model_copy(update=update)


def _one_of(section: Section, *keys: str) -> None:
    stated = [key for key in keys if getattr(section, key) is not None]
    if len(stated) != 1:
        found = ", ".join(stated) or "none"
        raise ValueError(f"needs one of {', '.join(keys)}, from above 0 to below 1; found: {found}")
