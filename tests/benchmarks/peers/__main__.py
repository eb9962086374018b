"""Our station beside ultralytics and anomalib: the same pictures, one run, one thread, in turns.

    python -m tests.benchmarks.peers --out work/peers            installs the peers below it once
    python -m tests.benchmarks.peers --out work/peers --bundle bundles/elpv-...   with this bundle
    python -m tests.benchmarks.peers --out work/peers --ours     without peers, nothing installed
    python -m tests.benchmarks.peers --out work/peers --train elpv --epochs 30    accuracy as well

(a) One ONNX graph, of ultralytics' own exporter, through onnxruntime in a bare loop (an input that
is ready), through a plain script, through ultralytics' classification predict, and through a
station: `inspector run` with a real mosquitto, every frame attested, every result committed and
published. (b) Each with its own lightest model: a bundle of ours, ultralytics' classifier,
anomalib's OpenVINO inferencer with PaDiM. Every contender is a process of its own; they take turns.
A time is from one part's end to the next (of the station: from one result at a subscriber to the
next), so that nothing is left out.

What each does with a picture. Bare loop: the model. Plain script, from a decoded array: resize
(area), scale, model, likeliest class. ultralytics, from a decoded array: PIL resize with
antialiasing, crop, scale, model, results object. anomalib, from a decoded array: float, scale,
model with map (resizing and normalising are in its graph). Station: read and decode (BMP, on a
thread), attest, resize (area as training chooses by itself, and linear in a second one), model,
verdict, commit (fsync), publish (QoS 1, acknowledged).

The pictures are those of `inspector demo` that its bundle has never seen. With --train DIR (from
`inspector-train data elpv --out DIR`) ultralytics' model is trained and PaDiM is fitted on all
other pictures of DIR, and all are judged on the unseen ones; without it their weights are random,
which costs the same time. PaDiM's resnet18 is random without --resnet18 FILE in either case.
"""

import argparse
import json
import platform
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2

from inspector.contract.bundle import Bundle, read_bundle
from inspector.demo.parts import SHIPPED, Parts, read_parts
from inspector.devices.quiet import quiet_cv2
from tests.benchmarks.peers import environment, models, table
from tests.benchmarks.peers.contenders import Contender, Script, Station
from tests.benchmarks.peers.wrapped import Interpolation, wrap
from tests.brokers import Mosquitto

PICTURES = 64
RESIZES: tuple[tuple[str, str, Interpolation], ...] = (
    (table.SAME, "same", "halving"),  # what training chooses by itself: area
    (table.LINEAR, "linear", "linear"),
)


def write_bmps(parts: Parts, folder: Path, side: int | None) -> str:
    """A few of the pictures, quickly decoded: a camera hands over pixels. What they are, in words.

    side: brought to so many pixels first.
    """
    folder.mkdir(parents=True)
    shape = (0, 0)
    for picture in parts.pictures[:PICTURES]:
        image = cv2.imread(str(parts.folder / picture.image))
        if image is None:
            raise ValueError(f"{picture.image}: is not a picture")
        if side:
            image = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
        shape = image.shape[:2]
        cv2.imwrite(str(folder / f"{picture.part_id}.bmp"), image)
    return (
        f"{min(PICTURES, len(parts.pictures))} pictures of {shape[1]}x{shape[0]} ({parts.source})"
    )


def machine() -> str:
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if line.startswith("model name")
    ]
    return f"{names[0] if names else platform.processor()}, {len(names)} cores"


@contextmanager
def contenders(
    arguments: argparse.Namespace, made: "models.Made", own: Bundle, folder: Path
) -> Iterator[list[Contender]]:
    """All that take part, each in a process; they end with this."""
    pictures, here, peers = folder / "pictures", Path(sys.executable), made.python
    taking: list[Contender] = []
    with ExitStack() as ends:
        broker = ends.enter_context(Mosquitto(folder, quiet=True)).start()

        def enter(each: Any) -> None:
            ends.callback(each.end)
            taking.append(each)

        words: list[Path | str]
        if made.classifier is not None:
            graph, size = made.classifier, arguments.size
            golden = sorted(pictures.glob("*.bmp"))[:4]
            enter(Script(table.RAW, here, "raw.py", [graph, pictures], folder))
            enter(Script(table.SCRIPT, here, "raw.py", [graph, pictures, "--script"], folder))
            words = [graph, pictures, "--size", str(size)]
            enter(Script(table.PREDICT, peers, "ultralytics_predict.py", words, folder))
            for name, topic, how in RESIZES:
                bundle = wrap(graph, size, golden, folder / f"graph-{topic}", how)
                enter(Station(name, topic, bundle, pictures, broker.port, folder / topic))
        model = models.for_this_machine(own).model_path
        enter(Script(table.OURS_RAW, here, "raw.py", [model, pictures], folder))
        enter(Station(table.OURS, "own", own, pictures, broker.port, folder / "own"))
        if made.padim is not None:
            words = [made.padim, pictures, "--precision", arguments.precision]
            enter(Script(table.PADIM, peers, "anomalib_predict.py", words, folder))
        yield taking


def measure(taking: list[Contender], rounds: int, turn_s: float, least: int) -> None:
    """In turns, in another order each round; a slow one has more of them in the end."""
    order = random.Random(0)  # noqa: S311 - any order will do
    for number in range(rounds):
        for each in order.sample(taking, len(taking)):
            each.take(turn_s)
        sys.stderr.write(f"round {number + 1} of {rounds}\n")
    for each in taking:
        while len(each.turns.ms) < least:
            each.take(turn_s)


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.peers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, help="for table.md, table.json and what is made once")
    parser.add_argument("--env", type=Path, help="the peers' environment (OUT/env)")
    parser.add_argument("--bundle", type=Path, default=SHIPPED, help="our own model (the demo's)")
    parser.add_argument("--ours", action="store_true", help="without peers")
    parser.add_argument("--classifier", default="yolo11n-cls", help="or yolov8n-cls, yolo26n-cls")
    parser.add_argument("--size", type=int, default=224, help="of the classifier's picture")
    parser.add_argument("--side", type=int, help="pixels of the pictures; left out: as they are")
    parser.add_argument("--precision", default="f32", choices=("f32", "bf16"), help="of OpenVINO")
    parser.add_argument("--train", type=Path, metavar="DATA", help="ELPV, for the accuracy")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--resnet18", type=Path, help="PaDiM's backbone, safetensors, timm's names")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--turn-s", type=float, default=2.0)
    parser.add_argument("--least", type=int, default=300, help="parts of each, in all turns")
    arguments = parser.parse_args(words)
    quiet_cv2()
    with ExitStack() as ends:
        if arguments.out is None:
            arguments.out = Path(ends.enter_context(tempfile.TemporaryDirectory()))
        out = arguments.out.resolve()
        out.mkdir(parents=True, exist_ok=True)
        run = Path(tempfile.mkdtemp(prefix="run-", dir=out))
        ends.callback(shutil.rmtree, run, ignore_errors=True)
        sys.stdout.write("\n".join(compare(arguments, out, run)) + "\n")


def compare(arguments: argparse.Namespace, out: Path, run: Path) -> list[str]:
    own = read_bundle(arguments.bundle.resolve())
    parts = read_parts(None, None, read_bundle(SHIPPED))
    pictures = write_bmps(parts, run / "pictures", arguments.side)
    made = models.Made() if arguments.ours else models.make(arguments, parts, out)
    with contenders(arguments, made, own, run) as taking:
        measure(taking, arguments.rounds, arguments.turn_s, arguments.least)
        verdict = {each.name: each.verdict_ms() for each in taking if isinstance(each, Station)}
        rows = [table.Row.of(each.name, each.about["what"], each.turns) for each in taking]
    p99 = {name: each.p99 for name, each in verdict.items() if each}
    asked = list(table.bars({row.name: row for row in rows}, p99))
    report = {
        "machine": machine(),
        "versions": environment.versions(made.python) if not arguments.ours else "ours alone",
        "pictures": pictures,
        "turn_s": arguments.turn_s,
        "rounds": arguments.rounds,
        "verdict_ms": {name: each.model_dump() for name, each in verdict.items() if each},
        "accuracy": {name: asdict(each) for name, each in models.judge(made, own, parts, run)},
        **table.as_json(rows, asked),
    }
    lines = list(table.markdown(report, rows, asked))
    (out / "table.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    (out / "table.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return lines


if __name__ == "__main__":
    main()
