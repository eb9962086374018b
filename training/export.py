"""From torch to ONNX, and the proof that it is the same model."""

import warnings
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from torch.onnx.errors import OnnxExporterError

from inspector.contract.errors import ConfigError, TrainingError
from inspector.contract.image import ImageSpec
from training.exported import Exported
from training.turns import in_turns

INPUT, PROBABILITIES, DEFECT_MAP, NOVELTY = "image", "probabilities", "defect_map", "novelty"
OPSET = 17
PARITY = 1e-3
"""Largest difference of a probability between torch and onnxruntime (measured: 2e-7)."""
TIMED_ROUNDS = 200


def export_onnx(model: Exported, spec: ImageSpec, path: Path) -> None:
    """Write one graph: uint8 NHWC in; probabilities, and map and novelty where there are; any
    batch size. Raises TrainingError where ONNX has no word for something the network does.
    """
    draft = path.with_name(path.name + ".part")
    try:
        _write(model, spec, draft)
    except OnnxExporterError as error:
        raise TrainingError(f"{path.parent.name}: this model {_wordless(error, spec)}") from None
    onnx.checker.check_model(str(draft))
    draft.replace(path)


def require_exportable(model: Exported, spec: ImageSpec, key: str) -> None:
    """Whether ONNX has words for all a network does, before it is trained: its graph is written
    without weights (a resnet50: 0.7 s). key: where the plan names it. Raises ConfigError.
    """
    try:
        with TemporaryDirectory() as folder:
            _write(model, spec, Path(folder, "model.onnx"), with_weights=False)
    except OnnxExporterError as error:
        raise ConfigError(f"plan: {key} {_wordless(error, spec)}") from None


def _wordless(error: OnnxExporterError, spec: ImageSpec) -> str:
    return (
        f"cannot be written as ONNX, which a station needs, at {spec.width}x{spec.height}: "
        f"{str(error).partition(chr(10))[0]:.200}; take another model"
    )


def _write(model: Exported, spec: ImageSpec, to: Path, *, with_weights: bool = True) -> None:
    model = model.float().eval()
    outputs = [PROBABILITIES, *[DEFECT_MAP] * model.has_map, *[NOVELTY] * bool(model.novelty)]
    example = torch.zeros(2, spec.height, spec.width, 3, dtype=torch.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the exporter itself; parity is checked below
        torch.onnx.export(
            model,
            (example,),
            str(to),
            input_names=[INPUT],
            output_names=outputs,
            dynamic_axes={name: {0: "batch"} for name in (INPUT, *outputs)},
            opset_version=OPSET,
            export_params=with_weights,
            dynamo=False,  # half the time of the other, same figures (measured)
        )


def require_parity(model: Exported, path: Path, pixels: NDArray[np.uint8]) -> float:
    """Largest difference of a probability, map cell or novelty from torch. Raises TrainingError.

    pixels: a few real images, n x height x width x 3.
    """
    model = model.eval()
    with torch.no_grad():
        ours = [t.numpy() for t in model(torch.from_numpy(np.array(pixels)))]
    theirs = open_session(path).run(None, {INPUT: pixels})  # all, in the order of the export
    worst = max(float(np.abs(a - b).max()) for a, b in zip(ours, theirs, strict=True))
    if not worst <= PARITY:
        raise TrainingError(f"{path.name}: differs from torch by {worst:.2g}, at most {PARITY:g}")
    return worst


def open_session(path: Path, threads: int = 1) -> Any:
    """As the station runs it: one thread, the CPU."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def shapes_of(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """The shape of every value of a graph, as it comes out for one image.

    Asked, not inferred: a graph that looks at the image several times has another batch within
    than it is given, and inference loses it at the first padding. Raises
    TrainingError where the graph does not run.
    """
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    known = {each.name for each in watched.graph.output}
    made = [name for node in watched.graph.node for name in node.output if name]
    watched.graph.output.extend(onnx.ValueInfoProto(name=n) for n in made if n not in known)
    fed = watched.graph.input[0]
    sides = [each.dim_value or 1 for each in fed.type.tensor_type.shape.dim]
    kind = onnx.helper.tensor_dtype_to_np_dtype(fed.type.tensor_type.elem_type)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    try:
        session = ort.InferenceSession(
            watched.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        found = session.run(None, {fed.name: np.zeros(sides, kind)})
    except Exception as error:  # noqa: BLE001 - onnxruntime's errors share no base class
        raise TrainingError(f"the graph cannot be run to see its shapes: {error}") from None
    names = [each.name for each in session.get_outputs()]
    shapes = {name: tuple(value.shape) for name, value in zip(names, found, strict=True)}
    return {fed.name: tuple(sides), **shapes}


def has_map(path: Path) -> bool:
    """Whether the graph says where a defect is."""
    outputs = onnx.load(str(path), load_external_data=False).graph.output
    return any(each.name == DEFECT_MAP for each in outputs)


class Answers(NamedTuple):
    """What a model says of images, one row an image."""

    probabilities: NDArray[np.float32]
    novelty: NDArray[np.float32] | None
    """None where the graph has no such output."""


def run_model(
    path: Path,
    pixels: NDArray[np.uint8],
    rows: NDArray[np.int64],
    at_once: int = 1,
    threads: int = 1,
) -> Answers:
    """The answers to each image, judged one by one as on the station, or some at once."""
    session = open_session(path, threads)
    names = [PROBABILITIES]
    names += [each.name for each in session.get_outputs() if each.name == NOVELTY]
    starts = range(0, len(rows), at_once)
    out = [session.run(names, {INPUT: pixels[rows[k : k + at_once]]}) for k in starts]
    columns = [np.concatenate(column) for column in zip(*out, strict=True)]
    return Answers(columns[0], columns[1] if len(columns) > 1 else None)


class Timing(NamedTuple):
    """What one picture costs, in milliseconds."""

    median_ms: float
    least_ms: float
    """The quickest of all rounds: what is left where nothing else disturbs it."""


def measure(
    paths: list[Path], pixels: NDArray[np.uint8], rounds: int = TIMED_ROUNDS
) -> list[Timing]:
    """Time of each model for one picture, one thread, in turns."""

    def asked(path: Path) -> Callable[[int], object]:
        session = open_session(path)
        return lambda i: session.run(None, {INPUT: pixels[i % len(pixels)][None]})

    kept = in_turns([asked(path) for path in paths], rounds)
    both = zip(np.median(kept, axis=0), kept.min(axis=0), strict=True)
    return [Timing(float(median), float(least)) for median, least in both]
