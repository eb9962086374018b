"""What the stages of one release share."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.dataset import SPLITS, SplitName
from training.fit import BEST, Machine, Material, load
from training.models import Network, build
from training.plan import Fit, Plan
from training.run import Run, Stage
from training.scan import Images
from training.screen import Screen


@dataclass(frozen=True, slots=True)
class Job:
    """What every stage needs to know."""

    plan: Plan
    run: Run
    machine: Machine
    screen: Screen


def load_network(how: Fit, folder: Path, classes: int) -> Network:
    """The network a stage kept."""
    network = build(how.model, "none", classes)
    network.load_state_dict(load(folder / BEST))
    return network.eval()


def material_of(images: Images, split: Stage) -> Material:
    """Pixels and class numbers of train and validation; the golden set stays out."""
    rows = split_rows(split)
    labels = sorted({sample.label for sample in images.samples})
    targets = np.array([labels.index(sample.label) for sample in images.samples], np.int64)
    return Material(images.pixels, targets, rows["train"], rows["validation"], len(labels))


def split_rows(split: Stage) -> dict[SplitName, NDArray[np.int64]]:
    """The rows of each split, as the split stage kept them."""
    kept = json.loads((split.folder / "split.json").read_text(encoding="utf-8"))
    return {name: np.array(kept[name], np.int64) for name in SPLITS}
