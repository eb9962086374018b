"""What the stages of one release share."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from training.checkpoint import BEST, load
from training.dataset import SPLITS, SplitName
from training.fit import Machine
from training.material import Material
from training.models import Network, build
from training.plan import Plan
from training.plan_networks import Fit
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


class Data(NamedTuple):
    """Images, the rows of each split, and class numbers."""

    images: Images
    rows: dict[SplitName, NDArray[np.int64]]
    targets: NDArray[np.int64]
    labels: tuple[str, ...]

    def material(self, good: tuple[str, ...]) -> Material:
        """What is learned from: train and validation; calibration and golden set stay out."""
        train, validation = self.rows["train"], self.rows["validation"]
        said = [sample.severity for sample in self.images.samples]
        known = any(value is not None for value in said)
        severity = np.array([np.nan if v is None else v for v in said], np.float32)
        return Material(
            self.images.pixels,
            self.targets,
            train,
            validation,
            len(self.labels),
            good=tuple(i for i, label in enumerate(self.labels) if label in good),
            severity=severity if known else None,
        )


def judged_sets(data: Data) -> tuple[SplitName, ...]:
    """The sets that the release's models answer; the plan may do without a calibration set."""
    return tuple(name for name in SPLITS if name != "train" and len(data.rows[name]))


def part_numbers(images: Images) -> NDArray[np.int64]:
    """A number for each picture, the same for pictures of one part and for twins.

    They are no independent trials: what is proven by counting must count them once.
    """
    first: dict[str, int] = {}
    pairs = [(i, first.setdefault(s.part, i)) for i, s in enumerate(images.samples)]
    one, other = np.array([*pairs, *images.report.twins]).T
    joined = coo_array((np.ones(len(one)), (one, other)), shape=(len(images.samples),) * 2)
    return connected_components(joined, directed=False)[1].astype(np.int64)


def load_network(how: Fit, folder: Path, classes: int) -> Network:
    """The network a stage kept."""
    network = build(how.model, "none", classes)
    network.load_state_dict(load(folder / BEST))
    return network.eval()


def data_of(images: Images, split: Stage) -> Data:
    """The images with the split that its stage kept."""
    labels = tuple(sorted({sample.label for sample in images.samples}))
    targets = np.array([labels.index(sample.label) for sample in images.samples], np.int64)
    kept = json.loads((split.folder / "split.json").read_text(encoding="utf-8"))
    rows = {name: np.array(kept[name], np.int64) for name in SPLITS}
    return Data(images, rows, targets, labels)
