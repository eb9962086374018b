"""Pictures with a defect a small net can learn, made here: no licence, no download."""

from pathlib import Path

import cv2
import numpy as np

from inspector.bench_profile import LAYERS, operation_of
from inspector.runtime.latency import Measured, Profile
from inspector.runtime.machine import this_machine
from training.plan import Plan, read_plan


def draw(rng: np.random.Generator, label: str, side: int = 64) -> np.ndarray:
    """A grey plate; a scratch is a dark line, a spot a bright disc."""
    grey = rng.normal(128, 6, (side, side)).clip(0, 255).astype(np.uint8)
    image = np.repeat(grey[..., None], 3, axis=2)
    x, y = (int(v) for v in rng.integers(12, side - 12, 2))
    if label == "scratch":
        cv2.line(image, (x, 4), (side - x, side - 4), (30, 30, 30), 4)
    if label == "spot":
        cv2.circle(image, (x, y), 8, (250, 250, 250), -1)
    return image


def write_class_folders(root: Path) -> Path:
    """A folder per class: 12 good, 12 scratch, 12 spot."""
    rng = np.random.default_rng(7)
    for label in ("good", "scratch", "spot"):
        folder = root / label
        folder.mkdir(parents=True)
        for i in range(12):
            cv2.imwrite(str(folder / f"{i:02d}.png"), draw(rng, label))
    return root


PLAN = """
name = "plate"
good = ["good"]
threads = 1
[image]
width = 64
height = 64
[split]
golden = 0.25
calibration = 0.25
validation = 0.25
near_duplicate_at = 1.0
[[augment]]
name = "D4"
[teacher]
model = "resnet18"
weights = "none"
epochs = 3
batch = 8
[student]
model = "mobilenetv2_035"
weights = "none"
epochs = 3
batch = 8
views = 2
[quality]
allow_uncertified = true
[export]
calibration_images = 8
quantise = { methods = ["minmax", "percentile"], percentiles = [99.9] }
golden_images = 6
"""

_HEAD, _, _REST = PLAN.replace("epochs = 3", "epochs = 1").partition("[teacher]")
_TEACHER, _, _STUDENT = _REST.partition("[student]")
TEACHER = f"[teacher]{_TEACHER}"
ALONE = f"{_HEAD}[student]\nalpha = 0.0{_STUDENT}".replace("[export]", '[export]\nint8 = "never"')
"""For one epoch in FP32, its student without a teacher."""


def written_plan(folder: Path, text: str) -> Plan:
    """The plan with this text, as plan.toml in the folder."""
    path = folder / "plan.toml"
    path.write_text(text, encoding="utf-8")
    return read_plan(path)


def profile_of(*, fp32: float, int8: float) -> Profile:
    """Of a station that takes so many milliseconds for a product, and for a value moved."""
    measured = tuple(
        Measured(operation=op, ms=factor * (op.macs + op.moved))
        for factor, small in ((fp32, False), (int8, True))
        for op in (operation_of(layer, int8=small) for layer in LAYERS)
    )
    return Profile(machine=this_machine(), threads=1, run_ms=0.01, operations=measured)
