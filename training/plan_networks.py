"""The plan's networks: what each is made of, how it learns, and from whom."""

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from inspector.contract.image import ImageSpec, Pixels
from inspector.contract.strict import Strict

Rate = Annotated[float, Field(gt=0.0, lt=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Imbalance = Literal["logit_adjustment", "effective_number", "class_weights", "none"]
Sampling = Literal["natural", "balanced"]


class Section(Strict):
    """A section of the plan; what is said of a key here is what `inspector-train keys` prints."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class Mix(Section):
    """Views that are of two pictures; the teacher sees the same mixture."""

    kind: Literal["mixup", "cutmix"] = "mixup"
    """mixup: Zhang 2018; cutmix: Yun 2019."""
    share: Share = 0.0
    """Of the views that are mixed."""
    alpha: Positive = 1.0
    """The mixture's weight is drawn from Beta(alpha, alpha)."""


class Fit(Section):
    """What a network and its training are made of."""

    model: str
    """Any timm model."""
    weights: str = "hub"
    """"hub": what timm publishes; "none": from nothing; else a safetensors or pth file."""
    epochs: Annotated[int, Field(ge=1, le=10_000)]
    batch: Annotated[int, Field(ge=1, le=4_096)] = 32
    lr: Positive = 1e-3
    """Peak learning rate of AdamW, after a linear warm-up, then a cosine to zero."""
    warmup_epochs: Annotated[float, Field(ge=0.0)] = 1.0
    weight_decay: Annotated[float, Field(ge=0.0)] = 1e-4
    drop_rate: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    ema: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.99
    """Decay of the averaged weights that are kept; 0 keeps the plain ones."""
    imbalance: Imbalance = "logit_adjustment"
    """logit_adjustment: Menon 2021; effective_number: weights of Cui 2019; class_weights: inverse
    frequency."""
    severity_weight: Annotated[float, Field(ge=0.0)] = 0.0
    """Of the cross entropy with the data's severities, 0 to 1, beside that with its classes."""
    sampling: Sampling = "natural"
    """balanced: each class equally often in an epoch; then imbalance = "none" goes with it."""
    precision: Literal["fp32", "bf16", "auto"] = "fp32"
    """bf16 is quicker for resnets and on GPUs, slower for small depthwise nets on a CPU. auto: what
    a measurement of a few seconds finds quickest on this machine, kept with the stage."""
    bn_batches: Annotated[int, Field(ge=0, le=1_000)] = 0
    """Batches from which batch norm takes the averaged weights' statistics anew; 0: they are
    averaged as well."""
    keep: Literal["macro_recall", "worst_recall", "last"] = "macro_recall"
    """Which epoch's weights are kept: the best by this on the validation parts, or the last's:
    a dozen defects of a validation set choose by chance."""
    mix: Mix = Mix()

    @model_validator(mode="after")
    def _corrected_once(self) -> Self:
        if self.sampling == "balanced" and self.imbalance != "none":
            raise ValueError(
                f'sampling "balanced" with imbalance {self.imbalance!r} corrects for rare classes '
                f'twice; write imbalance = "none", or sampling = "natural"'
            )
        return self

    @property
    def leaves_prior_out(self) -> bool:
        """Whether it learns to answer as if every class came equally often."""
        return self.imbalance == "logit_adjustment" or self.sampling == "balanced"


def absent(value: object) -> bool:
    """For `exclude_if`: what is not said is not written."""
    return value is None


class Teacher(Fit):
    handed: str | None = None
    """A folder `networks/BUNDLE` of an earlier release, whose teacher is taken as it is: a line's
    general teacher for several products. It must know every class; it needs no `epochs` then."""
    # Left out of what is fingerprinted where absent: stages of plans without them stay the same.
    width: Pixels | None = Field(default=None, exclude_if=absent)
    """Of the pictures it sees, where that is not the plan's: a teacher that sees more can teach a
    student that is quick. Absent: the plan's; of a handed teacher, the size it was trained at."""
    height: Pixels | None = Field(default=None, exclude_if=absent)
    """The same; one needs the other, in the proportions of [image]."""

    @model_validator(mode="before")
    @classmethod
    def _not_trained(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("handed"):
            return {"epochs": 1, **values}
        return values

    @model_validator(mode="after")
    def _both_sides(self) -> Self:
        if (self.width is None) != (self.height is None):
            there, other = ("width", "height") if self.height is None else ("height", "width")
            raise ValueError(f"{there} {getattr(self, there)}: needs {other} beside it")
        return self


class Peer(Section):
    """Another student that learns along and is thrown away (deep mutual learning, Zhang 2018)."""

    model: str
    weights: str = "hub"


class Hint(Section):
    """Two layers by name that are to say the same (FitNets, Romero 2015)."""

    student: str
    """As timm's model prints it, `blocks.3` for instance; "penultimate": what the head sees."""
    teacher: str


class Unlabelled(Section):
    """Pictures without labels, taught by the teacher alone."""

    folder: str
    """Read with everything below it, a station's archive for instance."""
    share: Annotated[float, Field(gt=0.0, le=10.0)] = 0.5
    """Unlabelled images shown in an epoch, in shares of the labelled ones."""
    confidence_at_least: Share = 0.0
    """Only pictures of whose class the teacher is this sure."""


class Old(Section):
    """The student that runs now: the start, and a second teacher of what it knew."""

    networks: str
    """A folder `networks/BUNDLE` that its release left."""
    weight: Annotated[float, Field(ge=0.0)] = 0.5
    """Of T^2 * KL to its answers on its own classes (Li and Hoiem 2016); 0: a start, no more."""


class Student(Fit):
    # Left out of what is fingerprinted where 1: stages of plans without it stay the same.
    members: Annotated[int, Field(ge=1, le=8, exclude_if=lambda members: members == 1)] = 1
    """Networks of this kind, each trained by itself from a seed of its own, whose mean answer is
    the student's (deep ensembles, Lakshminarayanan 2017). A picture takes so many times as long."""
    alpha: Share = 0.9
    """(1 - alpha) * loss on labels + alpha * loss on the teacher's answers."""
    method: Literal["kl", "soft_labels", "mse", "standardised", "dist"] = "kl"
    """Of learning from the teacher's answers: see soft.py. The temperature is each one's."""
    temperature: Positive = 4.0
    temperature_end: Positive | None = None
    """Where the temperature glides to over the epochs; absent: it stays."""
    rebalance: Annotated[float, Field(ge=0.0)] = 0.0
    """tau of the log prior taken off the teacher's answers, for a teacher that was trained without
    care for imbalance; tau = temperature is the published form (Zhang 2021)."""
    combine: Literal["mean_logits", "mean_probabilities"] = "mean_logits"
    """How several teachers' answers become one."""
    feature_weight: Annotated[float, Field(ge=0.0)] = 0.0
    """Of 1 - cosine between the student's projected features and the teacher's."""
    feature_dims: Annotated[int, Field(ge=2, le=4_096)] = 256
    """Principal directions of the teacher's features that are kept."""
    generations: Annotated[int, Field(ge=1, le=10)] = 1
    """Born again (Furlanello 2018): each after the first is taught by the one before."""
    peers: Annotated[tuple[Peer, ...], Field(max_length=4)] = ()
    mutual_weight: Annotated[float, Field(ge=0.0)] = 1.0
    """Of the mean KL between a student and each of its peers."""
    unlabelled: Unlabelled | None = None
    old: Old | None = None
    hints: Annotated[tuple[Hint, ...], Field(max_length=16)] = ()
    hint_weight: Annotated[float, Field(ge=0.0)] = 1.0
    """Of the mean error of the hints. They need the teacher at every step."""
    views: Annotated[int, Field(ge=0, le=10_000)] = 16
    """Different views of each image; the teacher is asked once about each. 0: a new one each
    epoch, and the teacher is asked every time."""

    @model_validator(mode="after")
    def _generations_learn(self) -> Self:
        if self.generations > 1 and not self.needs_teacher:
            raise ValueError(
                f"generations {self.generations}: with alpha 0 nothing is learned from the one "
                f"before; write alpha above 0, or generations = 1"
            )
        return self

    @property
    def needs_teacher(self) -> bool:
        """Whether anything is learned from a teacher; if not, the plan's is not trained."""
        return any((self.alpha, self.feature_weight, self.hints, self.unlabelled))

    @property
    def is_taught(self) -> bool:
        """Whether anything but labels is learned from."""
        return self.needs_teacher or bool(self.peers) or self.old is not None


def require_rebalanced_once(student: Student, teacher: Teacher, who: str) -> None:
    """Raises ValueError where a prior would be taken off answers that are without it."""
    if not student.rebalance or not teacher.leaves_prior_out:
        return
    is_drawn = teacher.sampling == "balanced"
    key, value = ("sampling", "balanced") if is_drawn else ("imbalance", teacher.imbalance)
    raise ValueError(
        f"student.rebalance {student.rebalance:g}: the answers of a {who} with {key} "
        f'"{value}" are without the prior already; leave one out'
    )


def require_proportions(image: ImageSpec, seen: ImageSpec, who: str) -> None:
    """Raises ValueError where a picture would be of another shape for a teacher."""
    height = seen.width * image.height / image.width
    if abs(seen.height - height) > max(1.0, seen.width / image.width):  # whole pixels
        raise ValueError(
            f"{who}: sees {seen.width}x{seen.height}, the student {image.width}x{image.height}: "
            f"one view at two sizes needs the same proportions; {seen.width}x{round(height)} has "
            f"them ({who}.width, {who}.height)"
        )
