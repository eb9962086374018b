"""The search for an INT8 form as safe as FP32: how to take ranges, and which layers stay float.

Every form is held to FP32 on the same validation pictures. What was tried is kept as it goes, so
that a job killed in between goes on where it was.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from inspector.contract.variant import VariantName
from inspector.contract.whole import write_whole
from training.compress.found import LayerScore, Quantised, Rule, Scored, Tried
from training.compress.quantize import FORMS, QUANTIZED, Layer, build, layers_of, prepare
from training.compress.ranges import Ranges, ranges_of
from training.export import Answers, run_model
from training.novelty import rank_correlation
from training.plan_export import Quantise

PREPARED, DRAFT, RANGES, TRIED = "prepared.onnx", "draft.onnx", "ranges.json", "tried.json"
AT_ONCE = 32
CHANCE_PICTURES = 2.5
"""Losing so many pictures of a class, a layer tells nothing of itself: any rounding turns some."""


class Pictures(NamedTuple):
    """What ranges are taken from, and what every form is held to."""

    pixels: NDArray[np.uint8]
    calibration: NDArray[np.int64]
    validation: NDArray[np.int64]
    targets: NDArray[np.int64]
    """Class of each picture, by its row."""
    labels: tuple[str, ...]


Build = Callable[[Path], None]
Progress = Callable[[str], None]


class Search:
    """One network's. `folder` holds what is kept."""

    def __init__(
        self, folder: Path, fp32: Path, pictures: Pictures, how: Quantise, rule: Rule
    ) -> None:
        self.folder, self.how, self.rule, self._pictures = folder, how, rule, pictures
        self.prepared = folder / PREPARED
        if not self.prepared.exists():
            draft = folder / f"{PREPARED}.part"
            prepare(fp32, draft)
            draft.replace(self.prepared)
        self.layers = layers_of(self.prepared)
        self.ranges = self._ranges()
        kept = folder / TRIED
        self._kept: dict[str, Scored] = {}
        if kept.exists():
            told = json.loads(kept.read_text(encoding="utf-8"))
            self._kept = {key: Scored.model_validate(each) for key, each in told.items()}
        self._float: Answers | None = None

    def run(self, say: Progress) -> Quantised:
        """Sweep, and where the best is not safe: measure layers, and give them back one by one."""
        channels = {"both": (True, False), "per_channel": (True,), "per_tensor": (False,)}
        sweep = [
            self._try(method, per_channel=per_channel)
            for method in self.ranges
            for per_channel in channels[self.how.weights]
        ]
        best = self._best(sweep)
        faults = self.rule.faults(best.scored)
        sensitivity: tuple[LayerScore, ...] = ()
        fallback: list[Tried] = []
        if self.how.sensitivity == "always" or (faults and self.how.sensitivity == "auto"):
            say(f"quantise: {best.text}: {faults[0] if faults else 'as safe as FP32'}; each layer")
            sensitivity = self._sensitivity(best)
        if faults and sensitivity:
            fallback = self._fall_back(best, sensitivity)
            best = self._best([*sweep, *fallback])
        held = not self.rule.faults(best.scored)
        return Quantised(
            pictures=len(self._pictures.validation),
            layers=len(self.layers),
            sweep=tuple(sweep),
            sensitivity=sensitivity,
            fallback=tuple(fallback),
            chosen=best,
            held=held,
            because=self._because(best, len(sweep), len(fallback)),
        )

    def write(self, tried: Tried, form: VariantName, path: Path) -> None:
        """The form of what was chosen for one kind of CPU."""
        build(
            self.prepared,
            path,
            self.ranges[tried.method],
            FORMS[form],
            per_channel=tried.per_channel,
            left_float=self._nodes(tried.float_layers),
        )

    def _ranges(self) -> dict[str, Ranges]:
        """By method; read again where they are kept."""
        kept = self.folder / RANGES
        if kept.exists():
            told = json.loads(kept.read_text(encoding="utf-8"))
            return {
                method: {name: (low, high) for name, (low, high) in each.items()}
                for method, each in told.items()
            }
        pictures, how = self._pictures, self.how
        ranges = ranges_of(
            self.prepared,
            pictures.pixels,
            pictures.calibration,
            QUANTIZED,
            how.methods,
            how.percentiles,
        )
        write_whole(kept, json.dumps(ranges).encode())
        return ranges

    def _try(self, method: str, *, per_channel: bool, float_layers: tuple[str, ...] = ()) -> Tried:
        def make(path: Path) -> None:
            left_float, form = self._nodes(float_layers), FORMS["int8-vnni"]
            ranges = self.ranges[method]
            build(self.prepared, path, ranges, form, per_channel=per_channel, left_float=left_float)

        scored = self._scored(json.dumps([method, per_channel, float_layers]), make)
        return Tried(
            method=method, per_channel=per_channel, float_layers=float_layers, scored=scored
        )

    def _sensitivity(self, best: Tried) -> tuple[LayerScore, ...]:
        """Each layer alone in INT8, the most harmful first."""
        scores = []
        for layer in self.layers:

            def make(path: Path, layer: Layer = layer) -> None:
                build(
                    self.prepared,
                    path,
                    self.ranges[best.method],
                    FORMS["int8-vnni"],
                    per_channel=best.per_channel,
                    alone=layer.nodes,
                )

            key = json.dumps([best.method, best.per_channel, "alone", layer.name])
            scores.append(LayerScore(layer=layer.name, scored=self._scored(key, make)))
        return tuple(sorted(scores, key=lambda each: self._harm(each, best), reverse=True))

    def _harm(self, each: LayerScore, now: Tried) -> tuple[float, float]:
        """Of what does not hold now: recall first, then the order of novelty. Layers that decide
        alike are told apart by how far they move the probabilities."""
        scored = each.scored
        recall_holds = max(now.scored.worst_lost, now.scored.macro_lost) <= self.rule.loss_at_most
        if recall_holds and scored.novelty_ranks is not None:
            return 1.0 - scored.novelty_ranks, scored.shift
        rows, labels = self._pictures.validation, self._pictures.labels
        its_class = labels.index(scored.worst_class)
        pictures = scored.worst_lost * int((self._pictures.targets[rows] == its_class).sum())
        return (scored.worst_lost if pictures > CHANCE_PICTURES else 0.0), scored.shift

    def _fall_back(self, best: Tried, sensitivity: tuple[LayerScore, ...]) -> list[Tried]:
        """One layer more in float each time, until it holds or too many are."""
        tried: list[Tried] = []
        left, now = list(sensitivity), best
        for _ in range(int(self.how.float_layers_at_most * len(self.layers))):
            next_one = max(left, key=lambda each: self._harm(each, now))
            left.remove(next_one)
            names = (*now.float_layers, next_one.layer)
            now = self._try(best.method, per_channel=best.per_channel, float_layers=names)
            tried.append(now)
            if not self.rule.faults(now.scored):
                break
        return tried

    def _best(self, tried: list[Tried]) -> Tried:
        return min(tried, key=lambda each: self.rule.order(each.scored))

    def _because(self, best: Tried, swept: int, steps: int) -> str:
        among = f"of {swept} ways to take ranges" + (
            f" and {steps} to leave layers float" if steps else ""
        )
        faults = self.rule.faults(best.scored)
        if not faults:
            return f"{best.text} is the best {among}, and as safe as FP32"
        return f"none {among} is as safe as FP32; the best, {best.text}: {'; '.join(faults)}"

    def _nodes(self, layers: tuple[str, ...]) -> list[str]:
        return [node for each in self.layers if each.name in layers for node in each.nodes]

    def _scored(self, key: str, make: Build) -> Scored:
        """How a form does; asked once, also over restarts."""
        if key not in self._kept:
            draft = self.folder / DRAFT
            make(draft)
            rows = self._pictures.validation
            if self._float is None:
                self._float = run_model(self.prepared, self._pictures.pixels, rows, AT_ONCE)
            answers = run_model(draft, self._pictures.pixels, rows, AT_ONCE)
            draft.unlink()
            targets, labels = self._pictures.targets[rows], self._pictures.labels
            self._kept[key] = compare(self._float, answers, targets, labels)
            told = {name: each.model_dump() for name, each in self._kept.items()}
            write_whole(self.folder / TRIED, json.dumps(told).encode())
        return self._kept[key]


def compare(
    plain: Answers, small: Answers, targets: NDArray[np.int64], labels: tuple[str, ...]
) -> Scored:
    """INT8's answers beside FP32's. A picture whose probabilities are none is decided wrongly."""
    before = _recalls(plain.probabilities, targets, len(labels))
    after = _recalls(small.probabilities, targets, len(labels))
    lost = {k: before[k] - after[k] for k in before}
    worst = max(lost, key=lambda k: (lost[k], -after[k]))
    shift = np.nan_to_num(np.abs(plain.probabilities - small.probabilities), nan=1.0, posinf=1.0)
    ranks: float | None = None
    if plain.novelty is not None and small.novelty is not None:
        ranks = rank_correlation(plain.novelty, small.novelty)
    return Scored(
        worst_class=labels[worst],
        worst_lost=lost[worst],
        macro_lost=float(np.mean(list(lost.values()))),
        novelty_ranks=ranks,
        shift=float(shift.mean()),
    )


def _recalls(
    probabilities: NDArray[np.float32], targets: NDArray[np.int64], classes: int
) -> dict[int, float]:
    """Of each class that is there."""
    right = np.where(np.isfinite(probabilities).all(axis=1), probabilities.argmax(axis=1), -1)
    mine = right == targets
    return {k: float(mine[targets == k].mean()) for k in range(classes) if (targets == k).any()}
