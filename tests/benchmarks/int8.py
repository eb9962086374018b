"""INT8 beside its FP32 on real pictures: the methods' table, the layers, and what unseen ones say.

python -m tests.benchmarks.int8 search --data DATA --work WORK --split STAGE --model STAGE ...
python -m tests.benchmarks.int8 demo --data DATA [--methods minmax ...]
python -m tests.benchmarks.int8 memory --data DATA --work WORK --model STAGE [--images 500]

WORK: the work folder of an `inspector-train release` or `compare` on DATA; STAGE: its split-... or
fold-... folder, and its export-... ones. search: on the validation pictures, then told on the
golden ones, which no search sees (--recall-alone: whatever becomes of novelty). demo: the demo
bundle's model; DATA is what `inspector-train data elpv` makes, golden are the cells no model has
seen, and the others were, most of them, trained on. memory: the peak of onnxruntime's calibrator,
which keeps every activation, beside ours, each in its own process.
"""

import argparse
import io
import resource
import subprocess
import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationMethod
from onnxruntime.quantization.calibrate import create_calibrator

import inspector
from inspector.contract.bundle import read_bundle
from inspector.contract.image import decode, fit
from training.compress.found import Rule, Scored
from training.compress.half import halve
from training.compress.int8 import Pictures, Search, compare
from training.compress.quantize import FORMS, QUANTIZED, calibration_rows, prepare
from training.compress.ranges import Reader, ranges_of
from training.dataset import SplitName, read_dataset
from training.export import measure, run_model
from training.job import Data, data_of
from training.plan_export import Quantise
from training.run import Stage
from training.scan import Images, ScanReport, load_images
from training.ship import NOVELTY_RANKS_AT_LEAST

CALIBRATION, VALIDATION = 256, 211


def read(data: Path, work: Path, split: str) -> Data:
    images = load_images(read_dataset(data), next(work.glob("scan-*")))
    return data_of(images, Stage(work / split, ""))


def read_demo(data: Path) -> tuple[Path, Data]:
    """The demo bundle's model, and ELPV as it sees it, in the place of a work folder's."""
    home = Path(inspector.__file__).parent / "demo"
    bundle = read_bundle(next((home / "bundle").iterdir()))
    dataset, labels = read_dataset(data), bundle.manifest.labels
    held = {line.split(",")[0] for line in (home / "holdout.csv").read_text().split()}
    targets = np.array([labels.index(each.label) for each in dataset.samples])
    golden = np.array([i for i, each in enumerate(dataset.samples) if each.name in held])
    others = np.setdiff1d(np.arange(len(targets)), golden)
    drawn = np.random.default_rng(0).permutation(others)[: VALIDATION + 3 * CALIBRATION]
    rows: dict[SplitName, NDArray[np.int64]] = {
        "golden": golden,
        "validation": drawn[:VALIDATION],
        "train": drawn[VALIDATION:],
    }
    spec = bundle.manifest.image
    pixels = np.zeros((len(targets), spec.height, spec.width, 3), np.uint8)
    for i in (*golden, *drawn):
        pixels[i] = fit(decode(dataset.samples[i].image.read_bytes()), spec)
    report = ScanReport(layout="", images=0, kept=(), classes={}, parts={}, twins=(), findings=())
    images = Images(tuple(dataset.samples), pixels, report)
    return bundle.model_path, Data(images, rows, targets, labels)


def told(scored: Scored) -> str:
    ranks = "" if scored.novelty_ranks is None else f"{scored.novelty_ranks:.4f}"
    return (
        f"{100 * scored.worst_lost:+7.2f} ({scored.worst_class}){100 * scored.macro_lost:+8.2f}"
        f"{ranks:>9}{scored.shift:9.5f}"
    )


def search(data: Data, model: Path, how: Quantise, ranks: float, keep: Path | None) -> None:
    """Points lost against FP32: of the worst class, of macro recall; rank correlation, shift."""
    pictures = Pictures(
        data.images.pixels,
        calibration_rows(data.rows["train"], data.targets, CALIBRATION, 0),
        data.rows["validation"],
        data.targets,
        data.labels,
    )
    golden, pixels = data.rows["golden"], data.images.pixels
    targets = data.targets[golden]
    with tempfile.TemporaryDirectory() as scratch:
        folder = keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        searching = Search(folder, model, pictures, how, Rule(how.loss_at_most, ranks))
        found = searching.run(say)
        say(f"{model.parent.name}: {found.layers} layers, n = {found.pictures} validation pictures")
        plain = run_model(model, pixels, golden)
        say(f"{'':28}validation: worst, macro, ranks, shift   golden (n = {len(golden)}): the same")
        back = [] if found.chosen in found.sweep else [found.chosen]
        for tried in (*found.sweep, *back):
            draft = folder / "golden.onnx"
            searching.write(tried, "int8-vnni", draft)
            unseen = compare(plain, run_model(draft, pixels, golden), targets, data.labels)
            say(f"{tried.text:28}{told(tried.scored)}  |{told(unseen)}")
        for each in found.sensitivity[:8]:
            say(f"alone in INT8: {each.layer:60}{told(each.scored)}")
        say(f"chosen: {found.because}")
        paths = {"fp32": model}
        for form in FORMS:
            path = folder / f"{form}.onnx"
            searching.write(found.chosen, form, path)
            paths[str(form)] = path
        paths["fp16"] = folder / "fp16.onnx"
        halve(model, paths["fp16"])
        times = measure(list(paths.values()), pixels[golden[:32]])
        right = recall(plain.probabilities, targets)
        for (name, path), time in zip(paths.items(), times, strict=True):
            answers = run_model(path, pixels, golden)
            lost = told(compare(plain, answers, targets, data.labels))
            macro = recall(answers.probabilities, targets)
            say(
                f"{name:10} {path.stat().st_size / 1e6:6.2f} MB {time.least_ms:7.3f} ms least "
                f"{time.median_ms:7.3f} median; macro recall {100 * macro:6.2f} % "
                f"({100 * (macro - right):+.2f}); {lost}"
            )


def recall(probabilities: NDArray[np.float32], targets: NDArray[np.int64]) -> float:
    right = probabilities.argmax(axis=1) == targets
    return float(np.mean([right[targets == k].mean() for k in np.unique(targets)]))


def calibrate(data: Data, model: Path, images: int, *, whole: bool) -> None:
    """In this process; its peak memory before and after."""
    rows = np.arange(images) % len(data.images.pixels)
    with tempfile.TemporaryDirectory() as scratch:
        prepared = Path(scratch) / "prepared.onnx"
        prepare(model, prepared)
        before = peak_mb()
        if whole:
            with redirect_stdout(io.StringIO()):
                calibrator = create_calibrator(
                    prepared,
                    list(QUANTIZED),
                    augmented_model_path=str(prepared.with_suffix(".a.onnx")),
                    calibrate_method=CalibrationMethod.Percentile,
                )
                calibrator.collect_data(Reader(data.images.pixels, rows))
                calibrator.compute_data()
        else:
            ranges_of(
                prepared, data.images.pixels, rows, QUANTIZED, ("minmax", "percentile"), (99.999,)
            )
        kind = "onnxruntime's own" if whole else "a few at a time"
        say(f"{kind}, {images} images: peak {peak_mb():.0f} MB, {peak_mb() - before:.0f} MB more")


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - a program's answer


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.int8", description=__doc__)
    parser.add_argument("what", choices=("search", "demo", "memory", "whole", "streamed"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, help="not of demo")
    parser.add_argument("--split", help="of search")
    parser.add_argument("--model", action="append", default=[])
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--sensitivity", choices=("auto", "always", "never"), default="auto")
    parser.add_argument("--methods", nargs="+", default=["minmax", "percentile", "entropy"])
    parser.add_argument("--float-at-most", type=float, default=0.5)
    parser.add_argument("--keep", type=Path, help="folder to go on from after an interruption")
    parser.add_argument("--recall-alone", action="store_true")
    args = parser.parse_args()
    if args.what == "memory":
        for what in ("streamed", "whole"):
            words = [what if word == "memory" else word for word in sys.argv[1:]]
            subprocess.run([sys.executable, "-m", "tests.benchmarks.int8", *words], check=True)
        return
    how = Quantise(
        methods=tuple(args.methods),
        sensitivity=args.sensitivity,
        float_layers_at_most=args.float_at_most,
    )
    ranks = -1.0 if args.recall_alone else NOVELTY_RANKS_AT_LEAST
    if args.what == "demo":
        model, data = read_demo(args.data)
        search(data, model, how, ranks, args.keep and args.keep / "demo")
        return
    data = read(args.data, args.work, args.split)
    for name in args.model:
        model = args.work / name / "model.onnx"
        if args.what == "search":
            search(data, model, how, ranks, args.keep and args.keep / name)
        else:
            calibrate(data, model, args.images, whole=args.what == "whole")


if __name__ == "__main__":
    main()
