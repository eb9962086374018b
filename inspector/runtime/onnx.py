"""A bundle's model in onnxruntime: opened, checked against the manifest, run in one batch."""

import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from pydantic import Field

from inspector.contract.bundle import Bundle, Manifest
from inspector.contract.errors import BundleError, ModelError
from inspector.contract.image import Image
from inspector.contract.status import ModelStatus
from inspector.contract.verdict import Prediction

Threads = Annotated[int, Field(ge=1, le=64)]
"""With one of two cores busy, two threads had twice the p99 of one: more is not quicker."""

WARM_UP_RUNS = 3
SUM_TOLERANCE = 0.02
"""Probabilities that sum to something else are none; an int8 softmax is this near."""
RANGE_TOLERANCE = 1e-4

log = logging.getLogger(__name__)


class Outputs(NamedTuple):
    """What the model gives, one row an image."""

    probabilities: NDArray[np.float32]
    defect_maps: NDArray[np.float32]
    novelty: NDArray[np.float32] | None
    """None where the bundle measures none."""


class _Run:
    """One call of the model, which another thread may stop."""

    def __init__(self) -> None:
        self.options = ort.RunOptions()
        self.stopped = False

    def stop(self) -> None:
        self.stopped = True
        self.options.terminate = True


class OnnxRuntime:
    """ports.Runtime. One thread uses it."""

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        """Open and warm up. Raises BundleError where the model is not what the manifest says."""
        manifest = bundle.manifest
        self.bundle_id = bundle.id
        self.manifest = manifest
        self.spec = manifest.image
        self.tiles = manifest.tiles
        self.limits = manifest.limits
        self.notice = manifest.data.notice
        self.running = ModelStatus(variant=bundle.variant, reason="it was asked for")
        self._labels = manifest.labels
        self._good = np.array([label in manifest.good for label in manifest.labels])
        self._input = manifest.model.input
        model = manifest.model
        self._outputs = [model.probabilities, model.defect_map]
        self._outputs += [model.novelty] if model.novelty else []
        self._session = _open(bundle.model_path, threads)
        try:
            _check(self._session, manifest, bundle.id)
        except UnicodeDecodeError:  # onnxruntime takes any bytes for a name, and hands them on
            words = f"bundle {bundle.id}: {model.file}: a name in it is no text"
            raise BundleError(words) from None
        self._batch = np.zeros((1, self.spec.height, self.spec.width, 3), np.uint8)
        self._used = 1
        self._under_way: _Run | None = None
        try:
            for _ in range(WARM_UP_RUNS):
                self._check_shapes(self._run(self._batch))
        except ModelError as error:
            raise BundleError(f"bundle {bundle.id}: the model does not run: {error}") from None

    def predict(self, images: Sequence[Image]) -> list[Prediction]:
        """One prediction an image, all in one batch.

        A row of probabilities that are none (NaN, out of range, not summing to one) becomes a
        defect score of NaN, which no verdict passes. Raises ModelError where the model fails.
        """
        outputs = self.outputs(images)
        return [self._prediction(outputs, i) for i in range(len(images))]

    def outputs(self, images: Sequence[Image]) -> Outputs:
        """As the model gives them, one row an image. Raises ModelError where it fails."""
        shape = self._batch.shape[1:]
        if not images:
            raise ModelError("there is no image to judge")
        if len(images) > len(self._batch):
            self._batch = np.zeros((len(images), *shape), np.uint8)
        for slot, image in zip(self._batch, images, strict=False):
            if image.shape != shape or image.dtype != np.uint8:
                raise ModelError(f"the model takes uint8 {shape}, not {image.dtype} {image.shape}")
            slot[:] = image
        self._used = len(images)
        outputs = self._run(self._batch[: self._used])
        self._check_shapes(outputs)
        return outputs

    def under_way(self) -> Callable[[], None] | None:
        """As ports.Runtime. It is between two operators that a model looks whether to stop."""
        run = self._under_way
        return run.stop if run and not run.stopped else None  # once is enough

    def run_again(self) -> None:
        """The bare onnxruntime call on the last batch: what `inspector bench` compares with."""
        self._run(self._batch[: self._used])

    def _run(self, batch: Image) -> Outputs:
        run = self._under_way = _Run()
        try:
            found: list[Any] = self._session.run(self._outputs, {self._input: batch}, run.options)
        except Exception as error:
            if run.stopped:
                raise ModelError("the model took no end and was stopped") from error
            raise ModelError(f"onnxruntime: {_first_line(error)}") from error
        finally:
            self._under_way = None
        return Outputs(found[0], found[1], found[2] if len(found) > 2 else None)

    def _check_shapes(self, outputs: Outputs) -> None:
        probabilities, maps, novelty = outputs
        expected = (self._used, len(self._labels))
        if probabilities.shape != expected:
            raise ModelError(f"probabilities are {probabilities.shape}, expected {expected}")
        if maps.ndim != 3 or len(maps) != self._used or 0 in maps.shape:
            raise ModelError(f"the defect map is {maps.shape}, expected {self._used} x rows x cols")
        if novelty is not None and novelty.shape != (self._used,):
            raise ModelError(f"novelty is {novelty.shape}, expected {(self._used,)}")

    def _prediction(self, outputs: Outputs, row: int) -> Prediction:
        probabilities = outputs.probabilities[row]
        defects = np.where(self._good, -1.0, probabilities)
        return Prediction(
            label=self._labels[int(np.argmax(probabilities))],
            defect_label=self._labels[int(np.argmax(defects))],
            defect_score=defect_score(probabilities, self._good),
            defect_map=outputs.defect_maps[row],
            novelty=None if outputs.novelty is None else float(outputs.novelty[row]),
        )


def defect_score(probabilities: NDArray[np.float32], good: NDArray[np.bool_]) -> float:
    """One minus what the acceptable classes have; NaN where these are no probabilities."""
    row = probabilities.astype(np.float64)
    low, high, total = float(row.min()), float(row.max()), float(row.sum())
    # written so that NaN, which compares false with everything, fails too
    if not (low >= -RANGE_TOLERANCE and high <= 1.0 + RANGE_TOLERANCE):
        return math.nan
    if not abs(total - 1.0) <= SUM_TOLERANCE:
        return math.nan
    return min(1.0, max(0.0, 1.0 - float(row[good].sum())))


def _open(path: Path, threads: int) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # its warnings are for who exported the model
    if threads > 1:
        # a waiting thread that spins takes the core from courier and capture
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - onnxruntime's errors share no base class
        raise BundleError(f"{path}: onnxruntime cannot open it: {_first_line(error)}") from None


def _check(session: Any, manifest: Manifest, bundle_id: str) -> None:
    """Compare the graph's own signature with what the manifest promises."""
    faults: list[str] = []
    spec, model = manifest.image, manifest.model
    inputs = {each.name: each for each in session.get_inputs()}
    outputs = {each.name: each for each in session.get_outputs()}
    if list(inputs) != [model.input]:
        faults.append(f"its inputs are {', '.join(inputs)}, expected {model.input} alone")
    else:
        expected = (None, spec.height, spec.width, 3)
        faults += _differences(inputs[model.input], "tensor(uint8)", expected)
    promised: dict[str, tuple[int | None, ...]] = {
        model.probabilities: (None, len(manifest.labels)),
        model.defect_map: (None, None, None),
    }
    if model.novelty:
        promised[model.novelty] = (None,)
    for name, shape in promised.items():
        if name not in outputs:
            faults.append(f"it has no output {name}, only {', '.join(outputs)}")
        else:
            faults += _differences(outputs[name], "tensor(float)", shape)
    if faults:
        raise BundleError(f"bundle {bundle_id}: {model.file}: {'; '.join(faults)}")


def _differences(value: Any, type_: str, shape: tuple[int | None, ...]) -> list[str]:
    """The first dimension must be open, a number must be met (or left open by the graph)."""
    faults: list[str] = []
    if value.type != type_:
        faults.append(f"{value.name} is {value.type}, expected {type_}")
    if len(value.shape) != len(shape):
        faults.append(f"{value.name} has {len(value.shape)} dimensions, expected {len(shape)}")
        return faults
    if isinstance(value.shape[0], int):
        faults.append(f"{value.name} takes batches of {value.shape[0]} only, expected any")
    for found, wanted in zip(value.shape[1:], shape[1:], strict=True):
        if wanted is not None and isinstance(found, int) and found != wanted:
            faults.append(f"{value.name} is {value.shape}, expected {('batch', *shape[1:])}")
            break
    return faults


def _first_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:300]
