"""What a release found, as data (report.json); report_html.py draws it on one page."""

import hashlib
import platform
from pathlib import Path
from typing import Any, Literal

import numpy as np

import inspector
from inspector.contract.strict import Strict
from training.calibrate import Calibration
from training.checkpoint import EpochRow
from training.compress.found import Quantised
from training.compress.rows import StepRow
from training.dataset import SplitName
from training.evaluate import Figures
from training.limits import Choice
from training.novelty import NoveltyLimit
from training.pointing import Pointing
from training.severity import Cost

Precision = Literal["fp32", "int8", "fp16"]
NO_TEACHER = "no teacher"
"""What is said where a teacher would stand."""
TIMES: Any = {
    "int8_ratio": True,
    "models": {"__all__": {"latency_ms"}},
    "teacher_history": {"__all__": {"seconds"}},
    "student_history": {"__all__": {"seconds"}},
    "compression": {"__all__": {"latency_ms"}},
}
"""What was measured in time, in pydantic's words for leaving fields out."""


class ModelRow(Strict):
    """One model of the release: what it costs and what it holds."""

    role: str
    architecture: str
    precision: Precision
    parameters: int
    macs: int
    file_bytes: int
    latency_ms: float
    """Median of one picture, or one tile, in onnxruntime, one thread, on the report's machine."""
    calibration: Calibration
    """Its temperature, and the reliability on the golden set without and with it."""
    choice: Choice
    """Limits chosen on the calibration parts with this model's scores."""
    novelty: NoveltyLimit | None = None
    """How its novelty_at was chosen; None where its novelty is not measured."""
    novelty_ranks: float | None = None
    """Of a small form: Spearman's rank correlation of its novelty with FP32's, validation parts."""
    validation: Figures
    golden: Figures
    """On the golden set with those limits."""
    cost: Cost | None


class Report(Strict):
    name: str
    labels: tuple[str, ...]
    good: tuple[str, ...]
    machine: str
    code: str
    data_lines: tuple[str, ...]
    images: dict[SplitName, dict[str, int]]
    models: tuple[ModelRow, ...]
    """Teacher where the plan has one, the original where the student was compressed, student FP32,
    and every small form of it that was made."""
    shipped: str
    """Role of the model that runs on a machine like this one."""
    shipped_because: str
    int8_ratio: float | None
    """The INT8 student's time in that of FP32, by their quickest rounds."""
    variants: tuple[str, ...] = ()
    """Roles that travel in the bundle beside FP32, in the order a station tries them."""
    left_out: tuple[str, ...] = ()
    """Sentences about forms that were made and do not."""
    quantised: Quantised | None = None
    """The search for INT8."""
    teacher_history: tuple[EpochRow, ...]
    student_history: tuple[EpochRow, ...]
    compression: tuple[StepRow, ...] = ()
    """The student as it was trained, and after each cut; none where nothing was compressed."""
    tiles_per_picture: float | None = None
    """Mean over the golden set, MACs and times being a tile's; None: pictures are judged whole."""
    pointing: Pointing | None = None
    """How the shipped model's defect map does; None where it has none, or nothing is marked."""
    severities: dict[str, str]
    """Of each class that the plan gives one."""
    unknown: tuple[str, ...] = ()
    """Of what the networks that were taken over have learned: the figures may flatter."""
    notice: str

    @property
    def has_teacher(self) -> bool:
        return any(row.role == "teacher" for row in self.models)

    def row(self, role: str) -> ModelRow:
        return next(row for row in self.models if row.role == role)

    @property
    def shipped_row(self) -> ModelRow:
        return self.row(self.shipped)

    def as_json(self, *, times: bool) -> str:
        """All of it; without times it is the same whenever the same inputs are released."""
        return self.model_dump_json(indent=1, exclude=None if times else TIMES)

    def lines(self) -> list[str]:
        """The report for a terminal."""
        ms = "ms" if self.tiles_per_picture is None else "ms/tile"
        head = f"{'':18}{'params':>9}{'MACs':>8}{ms:>8}{'acc':>7}{'bal':>7}{'AUROC':>7}"
        on = self.shipped_row.choice.chosen_on
        out = [f"{head}  escape; overkill; review (golden set, limits from {on})"]
        for row in self.models:
            g = row.golden
            out.append(
                f"{row.role:18}{row.parameters / 1e6:8.2f}M{row.macs / 1e9:7.2f}G"
                f"{row.latency_ms:8.2f}{100 * g.accuracy:7.2f}{100 * g.balanced_accuracy:7.2f}"
                f"{100 * g.auroc:7.2f}  {g.escape}; {g.overkill}; {g.review.events}/{g.review.n}"
            )
        if self.tiles_per_picture is not None:
            out.append(self.tiles_text(self.tiles_per_picture))
        if not self.has_teacher:
            out.append(f"{NO_TEACHER}: the student learned without one")
        out += [row.line(self.compression[0]) for row in self.compression]
        out.append(f"shipped: {self.shipped}, because {self.shipped_because}")
        out += [f"variants: {text}" for text in self.variant_lines()]
        out.append(f"calibration: {self.calibration_text(self.shipped_row)}")
        out.append(f"limits: {self.shipped_row.choice.sentence}")
        novelty = self.novelty_text(self.shipped_row)
        if novelty:
            out.append(f"novelty: {novelty}")
        out += [f"{row.role}: {text}" for row in self.models if (text := self.ranks_text(row))]
        if self.pointing:
            out.append(f"defect map: {self.pointing.sentence}")
        if self.shipped_row.cost:
            out.append(self.shipped_row.cost.sentence)
        return [*out, *self.unknown]

    def variant_lines(self) -> list[str]:
        """What travels beside FP32, and what does not and why."""
        taken = [f"{', '.join(self.variants)} in the bundle beside FP32"] if self.variants else []
        return [*taken, *self.left_out]

    @staticmethod
    def tiles_text(per_picture: float) -> str:
        """What times and MACs are of, where a picture is judged in tiles."""
        return (
            f"MACs and ms are of one tile; a picture has {per_picture:.1f} tiles on average "
            f"(golden set)"
        )

    @staticmethod
    def novelty_text(row: ModelRow) -> str | None:
        """What novelty alone stops; None where the model measures none."""
        g = row.golden
        if row.novelty is None or g.novelty_overkill is None or g.novelty_caught is None:
            return None
        return (
            f"{row.novelty.sentence}; of the golden set it alone stops "
            f"{g.novelty_overkill.events}/{g.novelty_overkill.n} good parts and "
            f"{g.novelty_caught.events}/{g.novelty_caught.n} defects"
        )

    @staticmethod
    def ranks_text(row: ModelRow) -> str | None:
        """Whether INT8 finds the same parts strange; None where that is not known."""
        if row.novelty_ranks is None:
            return None
        return (
            f"rank correlation of its novelty with that of FP32 {row.novelty_ranks:.2f} "
            f"(validation parts)"
        )

    @staticmethod
    def calibration_text(row: ModelRow) -> str:
        """How honest its probabilities are, before and after the temperature."""
        before, after = row.calibration.before, row.calibration.after
        return (
            f"{row.calibration.temperature.sentence}; expected calibration error "
            f"{100 * before.ece:.2f} % before, {100 * after.ece:.2f} % after "
            f"(golden set, n = {row.golden.parts}, {len(after.bins)} bins)"
        )


def machine_text() -> str:
    """Which machine the times were measured on."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                name = line.split(":", 1)[1].strip()
                break
    return (
        f"{name}, {platform.system()}, Python {platform.python_version()}, numpy {np.__version__}"
    )


def code_text() -> str:
    """Version and fingerprint of everything that shapes a bundle."""
    here = Path(__file__).parent
    digest = hashlib.sha256()
    for root in (here, Path(inspector.__file__).parent / "contract"):
        for path in sorted(root.rglob("*.py")):
            digest.update(path.read_bytes())
    return f"inspector {inspector.__version__}, sources {digest.hexdigest()[:12]}"
