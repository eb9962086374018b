"""The peers' models, made once below --out, and how well all of them tell the unseen pictures."""

import argparse
import csv
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from inspector.contract.bundle import Bundle
from inspector.contract.image import decode, fit
from inspector.demo.parts import Parts
from inspector.runtime.cpu import read_cpu
from inspector.runtime.loader import open_runtime
from inspector.runtime.variants import choose_variant
from tests.benchmarks.peers.contenders import heard, start_script
from tests.benchmarks.peers.environment import python_in

GOOD = "functional"
PADIM_PICTURES = 400
"""Of good parts: its covariances are full long before."""


@dataclass(frozen=True, slots=True)
class Made:
    """None: not there."""

    python: Path = Path()
    classifier: Path | None = None
    classifier_about: str = ""
    classifier_parameters: int = 0
    padim: Path | None = None
    padim_about: str = ""
    padim_parameters: int = 0
    taught: bool = False


@dataclass(frozen=True, slots=True)
class Judged:
    n: int
    accuracy: float
    balanced: float
    auroc: float
    parameters: int


def make(arguments: argparse.Namespace, parts: Parts, out: Path) -> Made:
    """Installs, exports, and with --train teaches first."""
    python = python_in((arguments.env or out / "env").resolve())
    data, about = None, "random weights"
    if arguments.train:
        data, about = out / "data", f"from nothing, {arguments.epochs} epochs"
        write_classes(arguments.train, parts, data)
    folder = out / (f"taught-{arguments.epochs}" if data else "random")
    folder.mkdir(exist_ok=True)
    classifier = folder / f"{arguments.classifier}-{arguments.size}.onnx"
    words: list[str | Path] = [arguments.classifier, classifier, "--size", str(arguments.size)]
    words += ["--data", data, "--epochs", str(arguments.epochs)] if data else []
    first = _made(python, "ultralytics_model.py", words, classifier.with_suffix(".json"), folder)
    good = data / "train" / "good" if data else out / "few"
    if not data:
        good.mkdir(exist_ok=True)
        for picture in parts.pictures[:32]:
            shutil.copy(parts.folder / picture.image, good)
    own = arguments.resnet18
    weights: list[str | Path] = ["--weights", own.resolve()] if own else []
    backbone = own.stem if own else "random"
    padim = folder / f"padim-{backbone}"
    if not (padim / "made.json").is_file():
        shutil.rmtree(padim, ignore_errors=True)  # half made
    words = [good, padim, "--pictures", str(PADIM_PICTURES), *weights]
    second = _made(python, "anomalib_model.py", words, padim / "made.json", folder)
    of = f"{backbone} backbone, {second['pictures']} good pictures"
    return Made(
        python, classifier, about, first["parameters"], Path(second["model"]),
        of, second["parameters"], bool(data),
    )  # fmt: skip


def _made(
    python: Path, file: str, words: list[str | Path], kept: Path, folder: Path
) -> dict[str, Any]:
    """What the script says, kept: it is run once."""
    if not kept.is_file():
        log = folder / f"{file}.log"
        with start_script(python, file, words, folder) as process:
            found = heard(process, log)
        if process.returncode:
            raise RuntimeError(log.read_text(encoding="utf-8")[-2_000:])
        kept.write_text(json.dumps(found), encoding="utf-8")
    made: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
    return made


def write_classes(data: Path, parts: Parts, folder: Path) -> None:
    """train/ and val/ with good/ and bad/: all of the data but the pictures that are judged.

    Its twins of those are left in, and validation and calibration parts of ours too: that is to
    the peers' advantage. val/ is there because ultralytics asks for it; nothing is chosen by it.
    """
    if folder.is_dir():
        return
    draft = folder.with_name(f".{folder.name}")
    shutil.rmtree(draft, ignore_errors=True)
    unseen = {Path(picture.image).name for picture in parts.pictures}
    with (data / "manifest.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if Path(row["image"]).name not in unseen]
    for i, row in enumerate(rows):
        label = "good" if row["label"] == GOOD else "bad"
        for split in ("train", "val") if i % 50 == 0 else ("train",):
            to = draft / split / label
            to.mkdir(parents=True, exist_ok=True)
            shutil.copy(data / row["image"], to)
    draft.rename(folder)


def for_this_machine(bundle: Bundle) -> Bundle:
    """With the model that a station chooses here, in the place of its own."""
    variant = choose_variant(bundle.manifest.variants, read_cpu()).variant
    return bundle.of(variant) if variant else bundle


def judge(made: Made, own: Bundle, parts: Parts, folder: Path) -> Iterator[tuple[str, Judged]]:
    """Every model on the unseen pictures. Nothing where the peers' were taught nothing."""
    if not made.taught or made.classifier is None or made.padim is None:
        return
    bad = np.array([picture.label != GOOD for picture in parts.pictures])
    files = folder / "files.json"
    names = [str(parts.folder / picture.image) for picture in parts.pictures]
    files.write_text(json.dumps(names), encoding="utf-8")
    own = for_this_machine(own)
    count = own.manifest.model.parameters
    yield f"bundle {own.id}, {own.variant}", _figures(_ours(own, names), bad, count)
    for file, model, about, parameters in (
        ("ultralytics_predict.py", made.classifier, made.classifier_about,
         made.classifier_parameters),
        ("anomalib_predict.py", made.padim, made.padim_about, made.padim_parameters),
    ):  # fmt: skip
        words: list[str | Path] = [model, folder / "pictures", "--judge", files]
        with start_script(made.python, file, words, folder) as process:
            found = heard(process, folder / f"{file}.log")
        yield f"{model.stem} ({about})", _figures(found["judged"], bad, parameters)


def _ours(own: Bundle, names: list[str]) -> list[tuple[float, bool]]:
    """Called a defect above 0.5, as the others': a station's limits are made for few escapes."""
    runtime = open_runtime(own)
    found = []
    for name in names:
        image = fit(decode(Path(name).read_bytes()), runtime.spec)
        score = runtime.predict([image])[0].defect_score
        found.append((score, score > 0.5))
    return found


def _figures(judged: list[tuple[float, bool]], bad: Any, parameters: int) -> Judged:
    scores, called = (np.array(column) for column in zip(*judged, strict=True))
    right = called.astype(bool) == bad
    balanced = (right[bad].mean() + right[~bad].mean()) / 2
    auroc = float(roc_auc_score(bad, scores))
    return Judged(len(bad), float(right.mean()), float(balanced), auroc, parameters)
