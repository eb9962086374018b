"""What the tests share: a real bundle so small that it is made in a moment, a station around it.

The model looks at mean brightness: grey is good, dark and bright are defects. It is a true
ONNX graph (uint8 NHWC in, probabilities and defect map out), so nothing in a test stands in for
the runtime, the loader or the bundle's checks.
"""

import json
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from inspector.contract.bundle import (
    Bundle,
    DataInfo,
    Golden,
    Manifest,
    ModelInfo,
    file_sha256,
    write_bundle,
)
from inspector.contract.image import Image, ImageSpec, Tiling, fit
from inspector.contract.variant import Expected, Needs, Variant, VariantName
from inspector.contract.verdict import Limits
from inspector.delivery.reader import JournalReader

LABELS = ("good", "dark", "bright")
GREY, DARK, BRIGHT = 128, 16, 240
SIZE = 32
CELLS = 4
ENDLESS = 2**62
PORTS_FROM, PORTS_EACH = 20_000, 3_000
SHA_OF_NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def picture(brightness: int, width: int = 48, height: int = 40, seed: int = 0) -> Image:
    """A frame of about this brightness, with noise so that no two seeds are alike."""
    noise = np.random.default_rng(seed).integers(-8, 9, (height, width, 3))
    return np.clip(brightness + noise, 0, 255).astype(np.uint8)


def write_pictures(folder: Path, brightness: Sequence[int]) -> list[Path]:
    """One PNG a brightness, named so that their order is the order given."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"part{i:03d}.png" for i in range(len(brightness))]
    for seed, (path, value) in enumerate(zip(paths, brightness, strict=True)):
        if not cv2.imwrite(str(path), picture(value, seed=seed)):
            raise OSError(f"{path} could not be written")
    return paths


def make_model(
    path: Path,
    *,
    size: int = SIZE,
    labels: int = len(LABELS),
    nan_above: float | None = None,
    work: int = 0,
    loops_above: tuple[float, int] | None = None,
    novelty: bool = False,
    maps: Literal["good", "nan", "none"] = "good",
) -> None:
    """Write the ONNX file.

    nan_above: brightness (0..1) above which the model computes NaN.
    work: rounds of a matrix product, about 1 ms each, that make the model slow.
    loops_above: brightness (0..1) above which the model goes round in a loop, and how often: a few
    microseconds each; ENDLESS for ever.
    novelty: an output for it: ten times how far red and blue are apart, as all it knows is grey.
    maps: what comes as defect map; "nan": what is no number; "none": there is no such output.
    """
    slopes = np.array([0.0, -40.0, 40.0], np.float32)[:labels]
    biases = np.array([0.0, 10.0, -30.0], np.float32)[:labels]
    weights = np.repeat((slopes / 3.0)[:, None], 3, axis=1)[:, :, None, None]
    constants = {
        "full": np.float32(255.0),
        "weights": weights.astype(np.float32),
        "biases": biases,
        "first": np.array([0], np.int64),
        "second": np.array([1], np.int64),
        "channel": np.array([1], np.int64),
        "space": np.array([2, 3], np.int64),
        "one": np.float32(1.0),
        "zero": np.float32(0.0),
        "nan_from": np.float32(2.0 if nan_above is None else nan_above),
        "all": np.array([1, 2, 3], np.int64),
    }
    cell = size // CELLS
    nodes = [
        helper.make_node("Cast", ["image"], ["raw"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["raw", "full"], ["scaled"]),
        helper.make_node("Transpose", ["scaled"], ["planes"], perm=[0, 3, 1, 2]),
        # the square root of a negative is NaN, and NaN times zero stays NaN
        helper.make_node("ReduceMean", ["planes", "all"], ["bright"], keepdims=1),
        helper.make_node("Sub", ["nan_from", "bright"], ["below"]),
        helper.make_node("Sqrt", ["below"], ["root"]),
        helper.make_node("Mul", ["root", "zero"], ["nothing"]),
        helper.make_node("Add", ["planes", "nothing"], ["checked"]),
        *_slow_nodes(work, constants),
        *_loop_nodes(loops_above, constants),
        helper.make_node(
            "AveragePool", ["looped"], ["cells"], kernel_shape=[cell, cell], strides=[cell, cell]
        ),
        helper.make_node("Conv", ["cells", "weights", "biases"], ["cell_logits"]),
        helper.make_node("Softmax", ["cell_logits"], ["cell_probs"], axis=1),
        helper.make_node("Slice", ["cell_probs", "first", "second", "channel"], ["good"]),
        helper.make_node("Squeeze", ["good", "channel"], ["good_map"]),
        helper.make_node("Sub", ["one", "good_map"], ["bad_map"]),
        helper.make_node("Div" if maps == "nan" else "Add", ["bad_map", "zero"], ["some_map"]),
        helper.make_node("Mul" if maps == "nan" else "Add", ["some_map", "zero"], ["defect_map"]),
        helper.make_node("ReduceMean", ["cell_logits", "space"], ["logits"], keepdims=0),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    outputs = [
        helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", labels]),
        helper.make_tensor_value_info("defect_map", TensorProto.FLOAT, ["batch", CELLS, CELLS]),
    ]
    if maps == "none":
        outputs.pop()
    if novelty:
        constants["red_less_blue"] = np.array([[-10.0], [0.0], [10.0]], np.float32)
        nodes += [
            helper.make_node("ReduceMean", ["planes", "space"], ["colour"], keepdims=0),
            helper.make_node("MatMul", ["colour", "red_less_blue"], ["apart"]),
            helper.make_node("Abs", ["apart"], ["distance"]),
            helper.make_node("Squeeze", ["distance", "channel"], ["novelty"]),
        ]
        outputs.append(helper.make_tensor_value_info("novelty", TensorProto.FLOAT, ["batch"]))
    graph = helper.make_graph(
        nodes,
        "brightness",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", size, size, 3])],
        outputs,
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


def _slow_nodes(work: int, constants: dict[str, Any]) -> list[Any]:
    """A chain of matrix products whose result, always zero, is added to the picture."""
    if not work:
        return [helper.make_node("Identity", ["checked"], ["worked"])]
    constants["square"] = np.eye(384, dtype=np.float32)
    nodes = [helper.make_node("Mul", ["nothing", "square"], ["w0"])]
    for i in range(work):
        nodes.append(helper.make_node("MatMul", [f"w{i}", "square"], [f"w{i + 1}"]))
    nodes.append(helper.make_node("ReduceMax", [f"w{work}", "all"], ["most"], keepdims=1))
    return [*nodes, helper.make_node("Add", ["checked", "most"], ["worked"])]


def _loop_nodes(loops_above: tuple[float, int] | None, constants: dict[str, Any]) -> list[Any]:
    """A loop over a zero, which is added to the picture."""
    if loops_above is None:
        return [helper.make_node("Identity", ["worked"], ["looped"])]
    constants["loops_from"], constants["often"] = (
        np.float32(loops_above[0]),
        np.int64(loops_above[1]),
    )
    constants["never"], constants["go_on"] = np.int64(0), np.bool_(True)
    real, yes = TensorProto.FLOAT, TensorProto.BOOL
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_out"]),
            helper.make_node("Neg", ["value"], ["value_out"]),
        ],
        "turn",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", yes, []),
            helper.make_tensor_value_info("value", real, []),
        ],
        [
            helper.make_tensor_value_info("go_out", yes, []),
            helper.make_tensor_value_info("value_out", real, []),
        ],
    )
    return [
        helper.make_node("ReduceMax", ["bright"], ["brightest"], keepdims=0),
        helper.make_node("Greater", ["brightest", "loops_from"], ["loops"]),
        helper.make_node("Where", ["loops", "often", "never"], ["rounds"]),
        helper.make_node("Loop", ["rounds", "go_on", "zero"], ["round"], body=body),
        helper.make_node("Add", ["worked", "round"], ["looped"]),
    ]


def make_bundle(
    folder: Path,
    name: str = "tiny",
    *,
    limits: Limits | None = None,
    notice: str = "",
    size: int = SIZE,
    tiles: Tiling | None = None,
    nan_above: float | None = None,
    work: int = 0,
    loops_above: tuple[float, int] | None = None,
    novelty_at: float | None = None,
    maps: Literal["good", "nan", "none"] = "good",
    made_of: str = SHA_OF_NOTHING,
    variants: dict[VariantName, Needs] | None = None,
    variant_limits: Limits | None = None,
    spoil: Callable[[Path], None] | None = None,
) -> Bundle:
    """Write a verified bundle below `folder`. `spoil` may change the draft before it is sealed.

    novelty_at: a bundle that measures novelty, with this limit. made_of: the data's fingerprint.
    variants: the model again, as files of their own, with what each needs. variant_limits: of all
    of them; else the model's.
    """
    measured = novelty_at is not None
    draft = folder / f".draft-{name}"
    (draft / "golden").mkdir(parents=True)
    make_model(
        draft / "model.onnx",
        size=size,
        nan_above=nan_above,
        work=work,
        loops_above=loops_above,
        novelty=measured,
        maps=maps,
    )
    spec = ImageSpec(width=size, height=size)
    session = ort.InferenceSession(draft / "model.onnx", providers=["CPUExecutionProvider"])
    golden = []
    for label, brightness in zip(LABELS, (GREY, DARK, BRIGHT), strict=True):
        image = picture(brightness, seed=brightness)
        cv2.imwrite(str(draft / "golden" / f"{label}.png"), image)
        names = ["probabilities", "novelty"] if measured else ["probabilities"]
        outputs = session.run(names, {"image": fit(image, spec)[None]})
        expected = tuple(min(1.0, float(p)) for p in np.asarray(outputs[0])[0])
        golden.append(
            Golden(
                file=f"golden/{label}.png",
                label=label,
                probabilities=expected,
                novelty=float(np.asarray(outputs[1])[0]) if measured else None,
            )
        )
    (draft / "report.json").write_text("{}\n", encoding="utf-8")
    for variant in variants or ():
        (draft / "variants").mkdir(exist_ok=True)
        model = onnx.load(draft / "model.onnx")
        model.doc_string = variant  # other bytes, the same answers
        (draft / f"variants/{variant}.onnx").write_bytes(model.SerializeToString())
    if spoil:
        spoil(draft)
    limits = (limits or Limits(review_at=0.3, reject_at=0.7)).model_copy(
        update={"novelty_at": novelty_at}
    )
    tolerance, novelty_tolerance = 0.01, 0.01 if measured else None
    manifest = Manifest(
        schema=2 if variants else 1,
        name=name,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        labels=LABELS,
        good=("good",),
        image=spec,
        tiles=tiles,
        limits=limits,
        certificate="a test bundle promises nothing",
        model=ModelInfo(
            sha256=file_sha256(draft / "model.onnx"),
            precision="fp32",
            architecture="mean brightness",
            parameters=12,
            defect_map=None if maps == "none" else "defect_map",
            novelty="novelty" if measured else None,
        ),
        golden=tuple(golden),
        tolerance=tolerance,
        novelty_tolerance=novelty_tolerance,
        variants=tuple(
            Variant(
                name=variant,
                file=f"variants/{variant}.onnx",
                sha256=file_sha256(draft / f"variants/{variant}.onnx"),
                precision="fp16" if variant == "fp16" else "int8",
                needs=needs,
                limits=variant_limits or limits,
                certificate="a test bundle promises nothing",
                golden=tuple(
                    Expected(probabilities=each.probabilities, novelty=each.novelty)
                    for each in golden
                ),
                tolerance=tolerance,
                novelty_tolerance=novelty_tolerance,
            )
            for variant, needs in (variants or {}).items()
        ),
        data=DataInfo(
            fingerprint=made_of,
            golden_sha256=SHA_OF_NOTHING,
            parts={"golden": len(golden)},
            licence="Apache-2.0",
            notice=notice,
        ),
        code="tests",
        plan_sha256=SHA_OF_NOTHING,
    )
    return write_bundle(draft, manifest, folder)


def write_station(folder: Path, bundle: Bundle, **overrides: Any) -> Path:
    """Write station.toml, recipe.toml and twelve pictures; return the path of station.toml.

    Overrides name a key of station.toml, or a table whose keys replace the ones here; `recipe`
    is the table of recipe.toml. A table without `kind` keeps the kind it has here; None leaves
    a key out. The broker's port is free: nobody listens there unless the test does.
    """
    pictures = folder / "pictures"
    if not pictures.exists():
        write_pictures(pictures, [GREY, GREY, DARK, GREY, BRIGHT, GREY] * 2)
    settings: dict[str, Any] = {
        "station": "test",
        "topic_root": "plant/line",
        "recipe": "recipe.toml",
        "bundles": os.path.relpath(bundle.folder.parent, folder),
        "camera": {"kind": "replay", "folder": "pictures"},
        "trigger": {"kind": "continuous"},
        "journal": {"path": "journal.db"},
        "mqtt": {"host": "127.0.0.1", "port": free_port()},
        "archive": {"folder": "images"},
        "drain_s": 2.0,
    }
    # a generous deadline: these tests share two cores with whatever else runs
    recipe: dict[str, Any] = {"name": "tiny", "bundle": bundle.id, "deadline_ms": 5_000}
    recipe.update(overrides.pop("recipe", {}))
    for key, value in overrides.items():
        before = settings.get(key, {})
        merges = isinstance(value, dict) and "kind" not in value and isinstance(before, dict)
        settings[key] = {**before, **value} if merges else value
    (folder / "recipe.toml").write_text(toml(recipe), encoding="utf-8")
    path = folder / "station.toml"
    path.write_text(toml(settings), encoding="utf-8")
    return path


def start_station(path: Path, **popen: Any) -> subprocess.Popen[bytes]:
    """Start `inspector run` as a user would; what it says goes to station.log beside the file."""
    command = [sys.executable, "-m", "inspector.cli", "run", str(path)]
    popen.setdefault("process_group", 0)  # Ctrl-C is for who runs the tests, who ends it in order
    if "stderr" in popen:
        return subprocess.Popen(command, **popen)
    with (path.parent / "station.log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, **popen)


def run_inspector(
    *arguments: str | Path, timeout_s: float = 60.0
) -> subprocess.CompletedProcess[str]:
    """Run one `inspector` command to its end."""
    command = [sys.executable, "-m", "inspector.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)


def until(condition: Callable[[], bool], timeout_s: float = 20.0) -> bool:
    """Wait until it holds; False where it never did."""
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A tmpfs of this size, e.g. "24m"; skips where it cannot be mounted."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a small tmpfs")
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("needs a mount that this container forbids")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def free_port() -> int:
    """A TCP port of loopback nobody listens at just now, nor will until the caller does.

    Not one of those the system hands out (from 32768 on): an outgoing connection would take it
    before it is used, or between a broker's end and its next start. And each process of a test run
    has its own, so that none finds another's broker where nobody should be.
    """
    process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first = PORTS_FROM + process * PORTS_EACH
    while True:
        port = random.randrange(first, first + PORTS_EACH)  # noqa: S311 - any will do
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def toml(table: dict[str, Any], prefix: str = "") -> str:
    """The table as a person would write it; None leaves a key out."""
    plain = {k: v for k, v in table.items() if v is not None and not isinstance(v, dict)}
    nested = {k: v for k, v in table.items() if isinstance(v, dict)}
    lines = [f"{key} = {_toml_value(value)}\n" for key, value in plain.items()]
    for key, value in nested.items():
        lines.append(f"\n[{prefix}{key}]\n{toml(value, f'{prefix}{key}.')}")
    return "".join(lines)


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Path):
        return _toml_value(str(value))
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{k} = {_toml_value(v)}" for k, v in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_toml_value, value)) + "]"
    return str(value)


def evaluations_in(folder: Path, after: int = 0) -> list[str]:
    """Of the rows behind `after` in a station's journal; none where there is no journal yet."""
    path = folder / "journal.db"
    if not path.exists():
        return []
    with JournalReader(path) as journal:
        return [json.loads(row)["evaluation"] for _, row in journal.after(after, limit=10_000)]
