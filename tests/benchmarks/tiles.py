"""A 20-megapixel part in tiles: parts/s, memory, how time grows with tiles, which batch is best.

    python -m tests.benchmarks.tiles [--bundle DIR] [--rounds 5] [--batches 1,2,4,8] [--out DIR]

The frame is 5472 x 3648 pixels of noise (all of one colour may be quicker to compute), cut into
tiles of the bundle's size without overlap; smaller parts are rectangles of it. A part is judged as
the station judges it (attested meanwhile on another thread, cut, fitted, judged), and right after
it the runtime's bare calls run again. All sizes and batches take turns. Figures are CPU time of
the whole process, which a busy neighbour disturbs least; parts/s are by the clock beside them.
Each batch has a process of its own, for its memory. Writes tiles.png and tiles.json.
"""

import argparse
import json
import multiprocessing
import resource
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from inspector.clock import SystemClock
from inspector.contract.bundle import read_bundle
from inspector.runtime.loader import open_runtime
from inspector.runtime.model import BATCH_MAX, ModelRuntime
from inspector.station.cycle import Job
from inspector.station.judging import judge_attested
from inspector.station.recipe import Recipe, Rectangle, Tiles, regions_for
from inspector.station.stopwatch import Stopwatch

WIDTH, HEIGHT = 5_472, 3_648
SHARES = (0.2, 0.4, 0.6, 0.8, 1.0)
"""Of the frame's width and height."""
DEMO = Path(__file__).parents[2] / "inspector" / "demo" / "bundle"


@dataclass(frozen=True, slots=True)
class Size:
    """One size of part, in milliseconds: medians of the rounds."""

    tiles: int
    cpu_ms: float
    raw_cpu_ms: float
    """Of the bare calls alone."""
    wall_ms: float


def frame() -> Any:
    return np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


def job_of(runtime: ModelRuntime, share: float) -> Job:
    within = Rectangle(x=0, y=0, width=round(WIDTH * share), height=round(HEIGHT * share))
    size = runtime.spec
    rule = Tiles(width=size.width, height=size.height, overlap=0.0, within=within)
    return Job(Recipe(name="tiles", bundle=runtime.bundle_id, regions=rule), runtime)


def judge_once(image: Any, job: Job, attester: ThreadPoolExecutor) -> tuple[float, float, float]:
    """CPU and wall milliseconds of one part, and the CPU milliseconds of the bare calls."""
    clock = SystemClock()
    cpu, wall = time.process_time(), time.perf_counter()
    judged, _ = judge_attested(image, job, Stopwatch(clock, clock.monotonic()), attester)
    done, done_wall = time.process_time(), time.perf_counter()
    if not judged.regions:
        raise RuntimeError(judged.verdict.reason)
    job.runtime.run_again()  # type: ignore[attr-defined]
    raw = time.process_time() - done
    return 1e3 * (done - cpu), 1e3 * (done_wall - wall), 1e3 * raw


def growth(bundle: Path, rounds: int) -> list[Size]:
    runtime, image = open_runtime(read_bundle(bundle)), frame()
    jobs = [job_of(runtime, share) for share in SHARES]
    found: list[list[tuple[float, float, float]]] = [[] for _ in jobs]
    with ThreadPoolExecutor(1) as attester:
        judge_once(image, jobs[-1], attester)  # the first takes memory
        for _ in range(rounds):
            for job, times in zip(jobs, found, strict=True):
                times.append(judge_once(image, job, attester))
    sizes = []
    for job, times in zip(jobs, found, strict=True):
        cpu, wall, raw = (statistics.median(column) for column in zip(*times, strict=True))
        tiles = len(regions_for(image, job.recipe, None))
        sizes.append(Size(tiles, round(cpu, 1), round(raw, 1), round(wall, 1)))
    return sizes


def serve_batch(there: Connection, bundle: Path, batch: int) -> None:
    """In a process of its own: one whole part for every request."""
    runtime, image = open_runtime(read_bundle(bundle)), frame()
    runtime.batch_max = batch
    job = job_of(runtime, 1.0)
    with ThreadPoolExecutor(1) as attester:
        while there.recv():
            cpu_ms, wall_ms, _ = judge_once(image, job, attester)
            peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            there.send((cpu_ms, wall_ms, peak_mb))


def batches(bundle: Path, sizes: list[int], rounds: int) -> dict[int, dict[str, float]]:
    """By batch size: medians of a whole part, and the most memory its process ever had."""
    context = multiprocessing.get_context("spawn")
    found: dict[int, list[tuple[float, float, float]]] = {size: [] for size in sizes}
    ends = {}
    for size in sizes:
        ends[size], there = context.Pipe()
        context.Process(target=serve_batch, args=(there, bundle, size), daemon=True).start()
    for i in range(rounds + 1):
        for size, end in ends.items():
            end.send(True)
            answer = end.recv()
            if i:
                found[size].append(answer)
    for end in ends.values():
        end.send(False)
    rows = {}
    for size, times in found.items():
        cpu_ms, wall_ms, _ = (statistics.median(column) for column in zip(*times, strict=True))
        peak_mb = max(each[2] for each in times)
        rows[size] = {"cpu_ms": cpu_ms, "wall_ms": wall_ms, "peak_mb": peak_mb}
    return rows


def line(tiles: list[int], ms: list[float]) -> tuple[float, float, float]:
    """Slope, intercept, and R squared of the least squares line."""
    slope, intercept = np.polyfit(tiles, ms, 1)
    away = np.array(ms) - (slope * np.array(tiles) + intercept)
    return float(slope), float(intercept), float(1.0 - away.var() / np.var(ms))


def draw(sizes: list[Size], rows: dict[int, dict[str, float]], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    tiles = [each.tiles for each in sizes]
    for label, ms in (
        ("station: attested, cut, judged", [each.cpu_ms for each in sizes]),
        ("the model's bare calls", [each.raw_cpu_ms for each in sizes]),
    ):
        slope, intercept, _ = line(tiles, ms)
        (drawn,) = left.plot(tiles, ms, "o", label=f"{label}: {slope:.2f} ms a tile")
        ends = [0, max(tiles)]
        left.plot(ends, [slope * n + intercept for n in ends], color=drawn.get_color())
    left.set(xlabel="tiles of a part", ylabel="CPU ms a part", ylim=(0, None), xlim=(0, None))
    left.set_title("Time by tiles")
    left.legend(frameon=False)
    if rows:
        whole = max(tiles)
        right.plot(list(rows), [each["cpu_ms"] / whole for each in rows.values()], "o-")
        right.set_xscale("log", base=2)
        right.set_xticks(list(rows), [str(each) for each in rows])
        right.set(xlabel="tiles in one batch", ylabel="CPU ms a tile", ylim=(0, None))
        memory = right.twinx()
        memory.plot(list(rows), [each["peak_mb"] for each in rows.values()], "s--", color="C3")
        memory.set_ylabel("peak memory, MB (dashed)", color="C3")
        memory.set_ylim(0, None)
        right.set_title(f"{whole} tiles, by batch")
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bundle", type=Path, default=next(DEMO.glob("*-*")))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", default="1,2,4,8,16,32")
    parser.add_argument("--out", type=Path, default=Path("work/tiles"))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    say = sys.stdout.write
    sizes = growth(arguments.bundle, arguments.rounds)
    say(f"{arguments.bundle.name}, {WIDTH}x{HEIGHT}, medians of {arguments.rounds} in turns, ")
    say(f"batches of {BATCH_MAX}\n")
    say(f"{'tiles':>6} {'CPU ms':>9} {'bare':>9} {'ratio':>6} {'wall ms':>9} {'parts/s':>8}\n")
    for each in sizes:
        ratio, per_s = each.cpu_ms / each.raw_cpu_ms, 1_000 / each.wall_ms
        say(f"{each.tiles:>6} {each.cpu_ms:>9.1f} {each.raw_cpu_ms:>9.1f} {ratio:>6.2f} ")
        say(f"{each.wall_ms:>9.1f} {per_s:>8.2f}\n")
    tiles = [each.tiles for each in sizes]
    for label, ms in (
        ("station", [each.cpu_ms for each in sizes]),
        ("bare calls", [each.raw_cpu_ms for each in sizes]),
    ):
        slope, intercept, fits = line(tiles, ms)
        say(f"{label}: {slope:.2f} ms a tile and {intercept:.0f} ms, R squared {fits:.4f}\n")
    wanted = [int(each) for each in arguments.batches.split(",") if each]
    rows = batches(arguments.bundle, wanted, arguments.rounds)
    sys.stdout.flush()
    say(f"{'batch':>6} {'CPU ms/tile':>12} {'wall ms':>9} {'parts/s':>8} {'peak MB':>8}\n")
    for size, row in rows.items():
        say(f"{size:>6} {row['cpu_ms'] / max(tiles):>12.2f} {row['wall_ms']:>9.1f} ")
        say(f"{1_000 / row['wall_ms']:>8.2f} {row['peak_mb']:>8.0f}\n")
    draw(sizes, rows, arguments.out / "tiles.png")
    report = {"sizes": [asdict(each) for each in sizes], "batches": rows}
    (arguments.out / "tiles.json").write_text(json.dumps(report, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
