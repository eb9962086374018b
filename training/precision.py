"""In which precision a plan's network is trained here, and asked afterwards."""

from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from inspector.contract.whole import write_whole
from training.job import Work
from training.material import Material
from training.models import Network
from training.plan_networks import Fit, Student, Teacher
from training.run import Stage
from training.speed import Choice, fastest

AnyFit = TypeVar("AnyFit", Teacher, Student)
SPEED = "speed.json"


def settle(how: AnyFit, network: Network, material: Material, folder: Path, work: Work) -> AnyFit:
    """The plan with its precision, measured where it says auto; the measurement is kept."""
    if how.precision != "auto":
        return how
    kept = folder / SPEED
    with work.machine.team.first():
        if not kept.exists():
            pixels = material.pixels[material.train[: how.batch]]
            measure(network, pixels, kept, work, learning=True)
    way = Choice.model_validate_json(kept.read_text(encoding="utf-8")).way
    network.lay_out(channels_last=way.channels_last)
    return how.model_copy(update={"precision": way.precision})


def measure(
    network: Network, pixels: NDArray[np.uint8], kept: Path, work: Work, *, learning: bool
) -> None:
    """Measure which way is quickest for a batch of these, and keep it. learning: as `fastest`."""
    device = work.machine.device
    images = torch.from_numpy(np.array(pixels)).to(device)
    choice = fastest(network.to(device), images, learning=learning)
    work.screen.say(f"  precision: {choice.words()}")
    write_whole(kept, choice.model_dump_json(indent=1).encode())


def precision_of(how: Fit, stage: Stage) -> str:
    """How a trained network is asked: as it was trained, or, handed on, as was quickest here."""
    if how.precision != "auto":
        return how.precision
    kept = stage.folder / SPEED
    if not kept.exists():  # handed on by a job of before it was measured
        return "fp32"
    return Choice.model_validate_json(kept.read_text(encoding="utf-8")).way.precision
