"""Bundles that must not serve, each made from a good one by a single change, some of them sealed
again so that every hash fits. Which change it is depends on the seed alone.
"""

import hashlib
import json
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from inspector.contract.bundle import MANIFEST, SIGNATURE, SUMS
from inspector.runtime.signature import sign_bundle
from tests.support import make_model

Change = Callable[[Path, random.Random], None]
Edit = Callable[[dict[str, Any], random.Random], None]


@dataclass(frozen=True)
class Mutant:
    kind: str
    folder: Path


def mutate(kind: str, good: Path, into: Path, seed: int, stranger: Path) -> Mutant:
    """One mutant below `into`. good: a signed bundle; stranger: somebody else's private key."""
    rng = random.Random(f"{kind} {seed}")  # noqa: S311 - which byte, not a secret
    folder = into / good.name
    shutil.copytree(good, folder)
    if kind in DAMAGES:
        DAMAGES[kind](folder, rng)
        return Mutant(kind, folder)
    signature = (folder / SIGNATURE).read_bytes()
    (folder / SIGNATURE).unlink()
    if kind in FORGERIES:
        FORGERIES[kind](folder, rng)
        manifest = json.loads((folder / MANIFEST).read_text())
    else:
        manifest = json.loads((folder / MANIFEST).read_text())
        EDITS[kind](manifest, rng)
    sealed = seal(folder, manifest)
    if kind in FORGERIES and kind.startswith("signature"):
        if kind == "signature of a stranger":
            sign_bundle(sealed, stranger)
        elif kind == "signature of another bundle":
            (sealed / SIGNATURE).write_bytes(signature)
    return Mutant(kind, sealed)


def seal(folder: Path, manifest: dict[str, Any]) -> Path:
    """As a careful forger does: every hash is right, and the folder is called after it."""
    model = folder / str(manifest.get("model", {}).get("file", ""))
    if model.is_file() and "model" in manifest:
        manifest["model"]["sha256"] = hashlib.sha256(model.read_bytes()).hexdigest()
    (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SUMS)
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder).as_posix()}\n"
        for path in files
    ]
    (folder / SUMS).write_text("".join(lines), encoding="ascii")
    digest = hashlib.sha256("".join(lines).encode()).hexdigest()
    name = str(manifest.get("name") or "tiny").replace("/", "")  # what a folder can be called
    return folder.rename(folder.with_name(f"{name}-{digest[:12]}"))


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _flip(folder: Path, rng: random.Random) -> None:
    path = rng.choice(_files(folder))
    data = bytearray(path.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def _cut(folder: Path, rng: random.Random) -> None:
    path = rng.choice(_files(folder))
    path.write_bytes(path.read_bytes()[: rng.randrange(path.stat().st_size)])


def _grow(folder: Path, rng: random.Random) -> None:
    path = rng.choice(_files(folder))
    path.write_bytes(path.read_bytes() + rng.randbytes(rng.randint(1, 4_096)))


def _add(folder: Path, rng: random.Random) -> None:
    name = rng.choice(["extra.txt", "golden/extra.png", ".hidden", "model.onnx.data", "new/file"])
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(rng.randbytes(100))


def _remove(folder: Path, rng: random.Random) -> None:
    rng.choice(_files(folder)).unlink()


def _rename(folder: Path, rng: random.Random) -> None:
    path = rng.choice(_files(folder))
    path.rename(path.with_name(f"{path.name}{rng.randrange(100)}"))


def _exchange(folder: Path, rng: random.Random) -> None:
    one, other = rng.sample(_files(folder), 2)
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


def _link(folder: Path, rng: random.Random) -> None:
    path = rng.choice(_files(folder))
    target = path.rename(folder.parent / "elsewhere")
    path.symlink_to(target)


DAMAGES: dict[str, Change] = {
    "a bit flipped": _flip,
    "a file cut short": _cut,
    "a file grown": _grow,
    "a file added": _add,
    "a file removed": _remove,
    "a file renamed": _rename,
    "two files exchanged": _exchange,
    "a file made a link": _link,
}
"""Not sealed again: refused by hash or signature."""


def _nan_weights(folder: Path, rng: random.Random) -> None:
    path = folder / "model.onnx"
    model = onnx.load(path)
    floats = [t for t in model.graph.initializer if t.name in ("weights", "biases")]
    tensor = rng.choice(floats)
    values = numpy_helper.to_array(tensor).copy()
    values.reshape(-1)[rng.randrange(values.size)] = rng.choice([np.nan, np.inf, -np.inf])
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    path.write_bytes(model.SerializeToString())


def _other_weights(folder: Path, rng: random.Random) -> None:
    path = folder / "model.onnx"
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        if tensor.name == "biases":
            values = numpy_helper.to_array(tensor) + rng.choice([-1, 1]) * np.array([0, 20, 20])
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float32), tensor.name))
    path.write_bytes(model.SerializeToString())


def _no_model(folder: Path, rng: random.Random) -> None:
    (folder / "model.onnx").write_bytes(rng.randbytes(rng.randint(0, 10_000)))


def _torn_model(folder: Path, rng: random.Random) -> None:
    path = folder / "model.onnx"
    path.write_bytes(path.read_bytes()[: -rng.randint(1, 600)])


def _other_size(folder: Path, rng: random.Random) -> None:
    make_model(folder / "model.onnx", size=rng.choice([8, 16, 64]))


def _other_labels(folder: Path, rng: random.Random) -> None:
    make_model(folder / "model.onnx", labels=2)


def _other_names(folder: Path, rng: random.Random) -> None:
    path = folder / "model.onnx"
    model = onnx.load(path)
    old = rng.choice(["image", "probabilities", "defect_map"])
    for value in (*model.graph.input, *model.graph.output):
        value.name = "other" if value.name == old else value.name
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = ["other" if name == old else name for name in names]
    path.write_bytes(model.SerializeToString())


def _names_no_text(folder: Path, rng: random.Random) -> None:
    path = folder / "model.onnx"
    old = rng.choice([b"image", b"probabilities", b"defect_map", b"batch"])
    path.write_bytes(path.read_bytes().replace(old, old[:-1] + b"\xff"))


def _golden_of_others(folder: Path, rng: random.Random) -> None:
    one, other = rng.sample(sorted((folder / "golden").iterdir()), 2)
    shutil.copy(one, other)


def _golden_no_picture(folder: Path, rng: random.Random) -> None:
    path = rng.choice(sorted((folder / "golden").iterdir()))
    path.write_bytes(path.read_bytes()[: rng.randrange(60)])


def _nothing(folder: Path, rng: random.Random) -> None:
    (folder / "report.json").write_text(json.dumps({"n": rng.random()}))


FORGERIES: dict[str, Change] = {
    "weights that are none": _nan_weights,
    "weights of another model": _other_weights,
    "no model": _no_model,
    "a torn model": _torn_model,
    "a model of another size": _other_size,
    "a model of other labels": _other_labels,
    "a model of other inputs or outputs": _other_names,
    "a model whose names are no text": _names_no_text,
    "golden pictures exchanged": _golden_of_others,
    "a golden picture torn": _golden_no_picture,
    "signature of a stranger": _nothing,
    "signature of another bundle": _nothing,
    "signature missing": _nothing,
}
"""Sealed again, with every hash right."""


def _set(*path: str | int, values: list[Any]) -> Edit:
    def edit(manifest: dict[str, Any], rng: random.Random) -> None:
        place: Any = manifest
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = rng.choice(values)

    return edit


def _limits_swapped(manifest: dict[str, Any], rng: random.Random) -> None:
    limits = manifest["limits"]
    limits["review_at"], limits["reject_at"] = limits["reject_at"], limits["review_at"]


def _limits_open(manifest: dict[str, Any], rng: random.Random) -> None:
    manifest["limits"].update(review_at=1.0, reject_at=1.0)


def _labels_rotated(manifest: dict[str, Any], rng: random.Random) -> None:
    """Every golden keeps its name and its answer: only what the columns are called is another."""
    labels, turns = manifest["labels"], rng.choice([1, 2])
    manifest["labels"] = labels[turns:] + labels[:turns]


def _labels_exchanged(manifest: dict[str, Any], rng: random.Random) -> None:
    labels = manifest["labels"]
    i, j = rng.sample(range(len(labels)), 2)
    labels[i], labels[j] = labels[j], labels[i]


def _good_is_another(manifest: dict[str, Any], rng: random.Random) -> None:
    manifest["good"] = [rng.choice([each for each in manifest["labels"] if each != "good"])]


def _golden_answers(manifest: dict[str, Any], rng: random.Random) -> None:
    golden = rng.choice(manifest["golden"])
    golden["probabilities"] = rng.choice(([0.5, 0.3, 0.2], [0.0, 0.0, 0.0], [0.2, 0.2, 0.6]))


def _variant_answers(manifest: dict[str, Any], rng: random.Random) -> None:
    """Fewer than there are pictures, of fewer classes, or those of other pictures."""
    golden = manifest["variants"][0]["golden"]
    match rng.randrange(3):
        case 0:
            golden.pop()
        case 1:
            golden[0]["probabilities"].pop()
        case _:
            golden.reverse()


def _key_gone(manifest: dict[str, Any], rng: random.Random) -> None:
    del manifest[rng.choice(["labels", "good", "limits", "model", "golden", "image", "tolerance"])]


def _key_strange(manifest: dict[str, Any], rng: random.Random) -> None:
    rng.choice([manifest, manifest["limits"], manifest["model"], manifest["image"]])["extra"] = 1


EDITS: dict[str, Edit] = {
    "limits swapped": _limits_swapped,
    "limits wide open": _limits_open,
    "labels rotated": _labels_rotated,
    "labels exchanged": _labels_exchanged,
    "good is a defect": _good_is_another,
    "another product": _set("name", values=["other", "tiny2"]),
    "a golden picture of another class": _set("golden", 0, "label", values=["dark", "bright"]),
    "golden answers made up": _golden_answers,
    "a key gone": _key_gone,
    "a key nobody knows": _key_strange,
    "review_at": _set("limits", "review_at", values=[-0.1, 1.1, True, "0.3", None, 1e308, "NaN"]),
    "reject_at": _set("limits", "reject_at", values=[-1, 2, False, [], 0.0, "Infinity"]),
    "tolerance": _set("tolerance", values=[0.0, -0.01, 0.21, 1e9, None, "all"]),
    "schema": _set("schema", values=[0, 1, 3, "2", None, 1.5]),
    "name": _set("name", values=["../tiny", "", "a/b", "x" * 65, None]),
    "labels": _set("labels", values=[[], ["good"], ["good", "good", "dark"], "good", None]),
    "good": _set("good", values=[[], ["good", "dark", "bright"], ["unknown"], None]),
    "size": _set("image", "width", values=[0, 7, 8193, 33, -32, 32.5, "wide"]),
    "fit": _set("image", "fit", values=["squeeze", None, 1]),
    "golden list": _set("golden", values=[[], None, {}]),
    "golden label": _set("golden", 0, "label", values=["unknown", None, 3]),
    "golden file": _set("golden", 0, "file", values=["../x.png", "golden/none.png", "/etc/passwd"]),
    "model file": _set("model", "file", values=["other.onnx", "../m", "/dev/zero", "report.json"]),
    "precision": _set("model", "precision", values=["fp16", None, 32]),
    "parameters": _set("model", "parameters", values=[0, -5, "many", 1.5]),
    "input": _set("model", "input", values=["pixels", "", None]),
    "output": _set("model", "probabilities", values=["scores", "defect_map", "", None]),
    "variants gone": _set("variants", values=[[], None, {}]),
    "a variant's limits": _set(
        "variants", 0, "limits", values=[{"review_at": 1.0, "reject_at": 1.0}, {"review_at": 0.9}]
    ),
    "a variant's hash": _set("variants", 0, "sha256", values=["0" * 64, "", None]),
    "a variant's file": _set("variants", 0, "file", values=["model.onnx", "../m", "report.json"]),
    "a variant's name": _set("variants", 0, "name", values=["fp16", "float", "int8", "", None]),
    "a variant's answers": _variant_answers,
    "a variant's tolerance": _set("variants", 0, "tolerance", values=[0.0, 0.3, None, "all"]),
    "a variant's needs": _set("variants", 0, "needs", values=[None, {"cpu": "any"}, "vnni"]),
    "plan": _set("plan_sha256", values=["", "0" * 63, "g" * 64]),
    "when": _set("created_at", values=["yesterday", None, ""]),
}
"""A manifest that a person, or a program with a fault, wrote otherwise; sealed again."""

KINDS = [*DAMAGES, *FORGERIES, *EDITS]
