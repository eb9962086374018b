"""What each step of a compression cost and held, as data for the report."""

from pydantic import Field

from inspector.contract.strict import Strict

CUT = "cut.json"


class Recalls(Strict):
    """On the validation images, by the likeliest class."""

    accuracy: float
    macro_recall: float
    worst_recall: float
    """Of the class with the least."""


class CutFacts(Strict):
    """What a cut did, kept with it."""

    done: str
    """In words."""
    recalls: Recalls
    """Before anything was taught again."""


class StepRow(Strict):
    """The student as it was trained, or after one cut and the training that followed it."""

    name: str
    done: str
    """In words."""
    parameters: int
    nonzero: int
    """Parameters that are not zero."""
    macs: int
    file_bytes: int
    """Of the ONNX graph without novelty."""
    packed_bytes: int
    """The same file, zlib at level 6."""
    latency_ms: float
    """Median of one picture or tile in onnxruntime, one thread; all steps in turn, in one run."""
    images: int = Field(ge=1)
    """Of the validation set."""
    cut: Recalls | None
    """Before it was taught; None for the student as it was trained."""
    taught: Recalls

    def line(self, first: "StepRow") -> str:
        """For a terminal, beside the student as it was trained."""
        costs = (
            f"parameters {self.nonzero / first.nonzero:.3f}, MACs {self.macs / first.macs:.3f}, "
            f"packed {self.packed_bytes / first.packed_bytes:.3f}, "
            f"ms {self.latency_ms / first.latency_ms:.2f}"
        )
        held = f"accuracy {self.taught.accuracy:.4f}, worst class {self.taught.worst_recall:.4f}"
        return f"{self.name}: {self.done}; left: {costs}; {held} (validation, n = {self.images})"
