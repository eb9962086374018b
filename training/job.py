"""What the stages of one release share."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from training.checkpoint import BEST, load
from training.compress.shape import SHAPE, load_shaped, shape_in
from training.dataset import SPLITS, SplitName
from training.fit import Machine
from training.layout import Layout
from training.material import Material
from training.models import Network, alike
from training.plan import Plan
from training.plan_export import Tta
from training.plan_networks import Fit, Student
from training.run import Run, Stage
from training.scan import Images
from training.screen import Screen
from training.tiles import load_tiles


class Work(NamedTuple):
    """What a training needs to know, in the job's process or in one of its own."""

    plan: Plan
    machine: Machine
    screen: Screen


@dataclass(frozen=True, slots=True)
class Job:
    """What every stage needs to know."""

    plan: Plan
    run: Run
    machine: Machine
    screen: Screen

    @property
    def work(self) -> Work:
        return Work(self.plan, self.machine, self.screen)


class Data(NamedTuple):
    """Images, the rows of each split, and class numbers.

    A row is a place in the pixel file: a whole picture, or one tile of one. What is judged is the
    picture; `standing.py` says which of its rows stands for it.
    """

    images: Images
    """samples, pixels: by row, so that a picture's tiles have the picture's sample."""
    rows: dict[SplitName, NDArray[np.int64]]
    targets: NDArray[np.int64]
    """Class of what each row shows."""
    labels: tuple[str, ...]
    layout: Layout | None = None
    """Where in its picture each row lies; None where rows are whole pictures."""
    tile_lines: tuple[str, ...] = ()

    def material(self, plan: Plan) -> Material:
        """What is learned from: train and validation; calibration and golden set stay out."""
        said = [sample.severity for sample in self.images.samples]
        known = any(value is not None for value in said)
        severity = np.array([np.nan if v is None else v for v in said], np.float32)
        if self.layout is not None:  # a good tile of a severe part is not severe
            severity[self.targets != self.part_targets(np.arange(len(said)))] = np.nan
        return Material(
            self.images.pixels,
            self.targets,
            self.labelled("train"),
            self.labelled("validation"),
            len(self.labels),
            good=tuple(i for i, label in enumerate(self.labels) if label in plan.good),
            severity=severity if known else None,
            synthetic=plan.synthetic,
        )

    def labelled(self, name: SplitName) -> NDArray[np.int64]:
        """A set's rows that show what they are called: not a tile with too little of a defect."""
        rows = self.rows[name]
        return rows if self.layout is None else rows[self.layout.learned[rows]]

    def part_targets(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Class of the part each row is of, which is not what every tile of it shows.

        -1 where it is of a class that was left out.
        """
        numbers = {label: number for number, label in enumerate(self.labels)}
        return np.array([numbers.get(self.images.samples[i].label, -1) for i in rows], np.int64)

    def pictures(self, name: SplitName) -> dict[str, int]:
        """Pictures of each class in a set."""
        of = {self.images.samples[i].name: self.images.samples[i].label for i in self.rows[name]}
        counts = Counter(of.values())
        return {label: counts[label] for label in self.labels}

    def places(self, name: SplitName) -> list[int]:
        """Of a set's pictures in `images.looks`, each once, also where its rows are tiles."""
        place = {kept: i for i, kept in enumerate(self.images.report.kept)}
        return sorted({place[self.images.samples[i].name] for i in self.rows[name]})

    def tiles_per_picture(self, name: SplitName) -> float | None:
        """Mean over a set, an overview counted as one; None where pictures are judged whole."""
        if self.layout is None:
            return None
        rows = self.rows[name]
        return len(rows) / len(np.unique(self.layout.picture[rows]))

    def shown(self, row: int) -> str:
        """What a row shows, for a person: the picture's name, and where a tile lies in it."""
        name = self.images.samples[row].name
        if self.layout is None:
            return name
        region = self.layout.region(row)
        return f"{name}, tile at {region.x},{region.y}"

    def lines(self) -> tuple[str, ...]:
        """What was found in the data, for a person."""
        return (*self.images.report.lines(), *self.tile_lines)


def without_class(data: Data, label: str) -> Data:
    """The data as if nobody had seen the class: none of its rows in any set, and no number."""
    is_left_out = np.array([sample.label == label for sample in data.images.samples])
    labels = tuple(each for each in data.labels if each != label)
    numbers = np.array([labels.index(each) if each != label else -1 for each in data.labels])
    rows = {name: mine[~is_left_out[mine]] for name, mine in data.rows.items()}
    return data._replace(rows=rows, targets=numbers[data.targets], labels=labels)


def judged_sets(data: Data) -> tuple[SplitName, ...]:
    """The sets that the release's models answer; the plan may do without a calibration set."""
    return tuple(name for name in SPLITS if name != "train" and len(data.rows[name]))


def part_numbers(images: Images) -> NDArray[np.int64]:
    """A number for each row, the same for pictures of one part and for twins.

    They are no independent trials: what is proven by counting must count them once.
    """
    first: dict[str, int] = {}
    pairs = [(i, first.setdefault(s.part, i)) for i, s in enumerate(images.samples)]
    row_of = {sample.name: i for i, sample in enumerate(images.samples)}
    names = [(images.report.kept[i], images.report.kept[j]) for i, j in images.report.twins]
    twins = [(row_of[i], row_of[j]) for i, j in names if i in row_of and j in row_of]
    one, other = np.array([*pairs, *twins]).T
    joined = coo_array((np.ones(len(one)), (one, other)), shape=(len(images.samples),) * 2)
    return connected_components(joined, directed=False)[1].astype(np.int64)


def load_network(
    how: Fit,
    folder: Path,
    classes: int,
    *,
    file: str = BEST,
    drop_rate: float = 0.0,
    tta: Tta = "off",
    prior: tuple[float, ...] = (),
) -> Network:
    """The network a stage kept, in timm's shape or in the one it was compressed to.

    tta, prior: for what ships; nothing is trained or taught with more than one look, or with what
    training left out.
    """
    shape = shape_in(folder)
    if shape:
        where = str(folder / SHAPE)
        network = load_shaped(shape, load(folder / file), classes, where, drop_rate)
    else:
        members = how.members if isinstance(how, Student) else 1
        network = alike(how.model, members, classes, drop_rate)
        network.load_state_dict(load(folder / file))
    network.tta = tta
    network.prior = torch.tensor(prior) if prior else None
    return network.eval()


def data_of(images: Images, split: Stage) -> Data:
    """The images with the split that its stage kept."""
    labels = tuple(sorted({sample.label for sample in images.samples}))
    targets = np.array([labels.index(sample.label) for sample in images.samples], np.int64)
    kept = json.loads((split.folder / "split.json").read_text(encoding="utf-8"))
    rows = {name: np.array(kept[name], np.int64) for name in SPLITS}
    return Data(images, rows, targets, labels)


def tiled(data: Data, tiles: Stage) -> Data:
    """The same pictures in the tiles that a stage kept."""
    layout, pixels, lines = load_tiles(tiles.folder)
    samples = tuple(data.images.samples[i] for i in layout.picture)
    images = Images(samples, pixels, data.images.report, data.images.looks)
    rows = {name: np.flatnonzero(np.isin(layout.picture, data.rows[name])) for name in SPLITS}
    return Data(images, rows, layout.targets, data.labels, layout, lines)
