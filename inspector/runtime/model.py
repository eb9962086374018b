"""A bundle's model, whichever library runs it: checked against the manifest, run in batches."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from inspector.contract.bundle import Bundle, Manifest
from inspector.contract.errors import BundleError, ModelError
from inspector.contract.image import Image
from inspector.contract.outputs import Outputs, acceptable, defect_score, joined, with_overview
from inspector.contract.status import ModelStatus
from inspector.contract.verdict import Prediction

WARM_UP_RUNS = 3
BATCH_MAX = 4
"""Images in one call on a CPU. Larger batches are no quicker there, and what a model keeps between
its operators grows with them: 128 tiles of 224 pixels took 1.7 GB and a tenth longer a tile
than this (tests/benchmarks/tiles.py)."""
STOPPED = "the model took no end and was stopped"


class Value(NamedTuple):
    """An input or output as the graph itself declares it."""

    type: str
    """In onnxruntime's words: tensor(uint8), tensor(float)."""
    shape: Sequence[int | str | None]
    """A dimension that is no number is open."""


class Signature(NamedTuple):
    inputs: Mapping[str, Value]
    outputs: Mapping[str, Value]


class ModelRuntime(ABC):
    """ports.Runtime but for the call itself, which is the library's. One thread uses it."""

    engine: str
    """The library, and what it computes with, in words."""
    batch_max = BATCH_MAX

    def __init__(self, bundle: Bundle) -> None:
        manifest = bundle.manifest
        self.bundle_id = bundle.id
        self.manifest = manifest
        self.spec = manifest.image
        self.tiles = manifest.tiles
        self.limits = manifest.limits
        self.notice = manifest.data.notice
        self.running = ModelStatus(variant=bundle.variant, reason="it was asked for")
        self.golden_error = 0.0  # until the loader has held it to the golden pictures
        self._labels = manifest.labels
        self._good = acceptable(manifest)
        model = manifest.model
        self._input = model.input
        named = (model.probabilities, model.defect_map, model.novelty)
        self._outputs = [name for name in named if name is not None]
        self._batch = np.zeros((1, self.spec.height, self.spec.width, 3), np.uint8)
        self._last: tuple[int, ...] = (1,)

    @abstractmethod
    def _signature(self) -> Signature:
        """What the opened graph takes and gives."""

    @abstractmethod
    def _call(self, batch: Image) -> list[Any]:
        """The named outputs, in arrays that stay as they are. Raises ModelError."""

    @abstractmethod
    def under_way(self) -> Callable[[], None] | None:
        """As ports.Runtime. It is between two operators that a model looks whether to stop."""

    def _make_ready(self) -> None:
        """Check the open graph and warm it up. Raises BundleError where it is another."""
        try:
            _check(self._signature(), self.manifest, self.bundle_id)
        except UnicodeDecodeError:  # onnxruntime takes any bytes for a name, and hands them on
            file = self.manifest.model.file
            words = f"bundle {self.bundle_id}: {file}: a name in it is no text"
            raise BundleError(words) from None
        try:
            for _ in range(WARM_UP_RUNS):
                self._check_shapes(self._run(self._batch), 1)
        except ModelError as error:
            words = f"bundle {self.bundle_id}: the model does not run: {error}"
            raise BundleError(words) from None

    def predict(self, images: Sequence[Image]) -> list[Prediction]:
        """One prediction an image; of tiles with an overview the first is that, and gets none.

        A row of probabilities that are none (NaN, out of range, not summing to one) becomes a
        defect score of NaN, which no verdict passes. Raises ModelError where the model fails.
        """
        outputs = self.outputs(images)
        if self.tiles is not None and self.tiles.overview:
            outputs = with_overview(outputs, self._good)
        return [self._prediction(outputs, i) for i in range(len(outputs.probabilities))]

    def outputs(self, images: Sequence[Image]) -> Outputs:
        """As the model gives them, one row an image. Raises ModelError where it fails.

        In batches of at most `batch_max`.
        """
        if not images:
            raise ModelError("there is no image to judge")
        starts = range(0, len(images), self.batch_max)
        found = [self._outputs_of(images[i : i + self.batch_max]) for i in starts]
        self._last = tuple(len(each.probabilities) for each in found)
        if len(found) == 1:
            return found[0]
        return joined(found)

    def _outputs_of(self, images: Sequence[Image]) -> Outputs:
        """Of one batch."""
        shape = self._batch.shape[1:]
        if len(images) > len(self._batch):
            self._batch = np.zeros((len(images), *shape), np.uint8)
        for slot, image in zip(self._batch, images, strict=False):
            if image.shape != shape or image.dtype != np.uint8:
                raise ModelError(f"the model takes uint8 {shape}, not {image.dtype} {image.shape}")
            slot[:] = image
        outputs = self._run(self._batch[: len(images)])
        self._check_shapes(outputs, len(images))
        return outputs

    def run_again(self) -> None:
        """The library's bare calls, as many and as large as the last time: what `inspector bench`
        compares with.
        """
        for images in self._last:
            self._run(self._batch[:images])

    def _run(self, batch: Image) -> Outputs:
        found = dict(zip(self._outputs, self._call(batch), strict=True))
        model = self.manifest.model
        maps = found[model.defect_map] if model.defect_map else None
        return Outputs(
            found[model.probabilities], maps, found[model.novelty] if model.novelty else None
        )

    def _check_shapes(self, outputs: Outputs, images: int) -> None:
        probabilities, maps, novelty = outputs
        expected = (images, len(self._labels))
        if probabilities.shape != expected:
            raise ModelError(f"probabilities are {probabilities.shape}, expected {expected}")
        if maps is not None and (maps.ndim != 3 or len(maps) != images or 0 in maps.shape):
            raise ModelError(f"the defect map is {maps.shape}, expected {images} x rows x cols")
        if novelty is not None and novelty.shape != (images,):
            raise ModelError(f"novelty is {novelty.shape}, expected {(images,)}")

    def _prediction(self, outputs: Outputs, row: int) -> Prediction:
        probabilities = outputs.probabilities[row]
        defects = np.where(self._good, -1.0, probabilities)
        return Prediction(
            label=self._labels[int(np.argmax(probabilities))],
            defect_label=self._labels[int(np.argmax(defects))],
            defect_score=defect_score(probabilities, self._good),
            defect_map=None if outputs.defect_maps is None else outputs.defect_maps[row],
            novelty=None if outputs.novelty is None else float(outputs.novelty[row]),
        )


def first_line(error: Exception) -> str:
    """Of what a library says: the rest is for who wrote the library."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:300]


def _check(signature: Signature, manifest: Manifest, bundle_id: str) -> None:
    """Compare the graph's own signature with what the manifest promises."""
    faults: list[str] = []
    spec, model = manifest.image, manifest.model
    inputs, outputs = signature
    if list(inputs) != [model.input]:
        faults.append(f"its inputs are {', '.join(inputs)}, expected {model.input} alone")
    else:
        expected = (None, spec.height, spec.width, 3)
        faults += _differences(model.input, inputs[model.input], "tensor(uint8)", expected)
    promised: dict[str, tuple[int | None, ...]] = {
        model.probabilities: (None, len(manifest.labels)),
    }
    if model.defect_map:
        promised[model.defect_map] = (None, None, None)
    if model.novelty:
        promised[model.novelty] = (None,)
    for name, shape in promised.items():
        if name not in outputs:
            faults.append(f"it has no output {name}, only {', '.join(outputs)}")
        else:
            faults += _differences(name, outputs[name], "tensor(float)", shape)
    if faults:
        raise BundleError(f"bundle {bundle_id}: {model.file}: {'; '.join(faults)}")


def _differences(name: str, value: Value, type_: str, shape: tuple[int | None, ...]) -> list[str]:
    """The first dimension must be open, a number must be met (or left open by the graph)."""
    faults: list[str] = []
    if value.type != type_:
        faults.append(f"{name} is {value.type}, expected {type_}")
    if len(value.shape) != len(shape):
        faults.append(f"{name} has {len(value.shape)} dimensions, expected {len(shape)}")
        return faults
    if isinstance(value.shape[0], int):
        faults.append(f"{name} takes batches of {value.shape[0]} only, expected any")
    for found, wanted in zip(value.shape[1:], shape[1:], strict=True):
        if wanted is not None and isinstance(found, int) and found != wanted:
            faults.append(f"{name} is {value.shape}, expected {('batch', *shape[1:])}")
            break
    return faults
