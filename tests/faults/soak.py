"""A whole station at work for an hour: does anything grow, come late, or get lost?

The real daemon with attestation and a capture process, a real model (the demo's), a live camera
(motion JPEG on loopback), a real mosquitto and a consumer. Every few seconds resident memory of
station and capture process, open files, threads and journal are noted. At the end: memory rises by
at most 1 MB an hour, no pass came after its deadline, one verdict a trigger, no number missing, and
the consumer was told every row as it is.
"""

import os
import tempfile
import time
from argparse import Namespace
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import theilslopes

from inspector.demo.parts import SHIPPED, verified_bundle
from tests.brokers import Mosquitto
from tests.faults.bench import (
    Consumer,
    Report,
    account,
    arguments,
    capture_children,
    command,
    order,
    say,
    shared_memory,
)
from tests.faults.film import QUICK, REGION, FilmServer, good_frames, mixed_film, write_frames
from tests.support import run_inspector, start_station, until, write_station

SLOPE_MAX_MB_H = 1.0
JUDGED_FROM_MIN = 30.0
"""In less than this a page more or less is already a slope of some MB an hour."""
LONGER = 3.0
"""A busy machine misses beats: so many times the minutes are spent to have all the parts."""


def resident_mb(pid: int) -> float:
    return _status(pid, "VmRSS") / 1_024


def _status(pid: int, key: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1])
    raise ValueError(f"{key} of {pid}")


def slope_mb_h(hours: list[float], megabytes: list[float]) -> tuple[float, float, float]:
    """The median of all slopes between two samples (Theil and Sen), with its 95 % bounds.

    One sample in the middle of an allocation does not move it, as it would a line of least squares.
    """
    found = theilslopes(megabytes, hours, 0.95)
    return float(found.slope), float(found.low_slope), float(found.high_slope)


class Soak:
    def __init__(self, options: Namespace, folder: Path, started: ExitStack) -> None:
        self.options = options
        self.folder = folder
        say("making the film and commissioning the station")
        camera = FilmServer(mixed_film(options.frames), options.camera_rate).start()
        started.callback(camera.kill)
        broker = started.enter_context(Mosquitto(folder).start())
        self.consumer = started.enter_context(Consumer(broker.port))
        settings = {
            "camera": {
                "kind": "opencv", "url": camera.url, "latency_ms": 0, "reopen_tries": 1_000,
            },
            "trigger": {"kind": "interval", "period_ms": round(1000 / options.rate)},
            "mqtt": {"port": broker.port},
            "archive": {"size_max_mb": 20, "keep": "not_ok"},
            "journal": {"disk_free_min_mb": 0},
        }  # fmt: skip
        recipe = {
            "deadline_ms": options.deadline_ms,
            "frame_timeout_ms": options.deadline_ms,
            "regions": REGION,
            # the fixture tints the cells, which the model has never seen: some must pass here
            "limits": {"review_at": 0.4, "reject_at": 0.7, "novelty_at": 10.0},
        }
        bundle = verified_bundle(SHIPPED)
        (folder / "pictures").mkdir()
        self.settings = write_station(folder, bundle, recipe=recipe, **settings)
        good = write_frames(folder / "good", good_frames(100)[: options.frames], QUICK)
        learned = run_inspector("commission", self.settings, "--folder", good, timeout_s=300.0)
        assert learned.returncode == 0, learned.stdout + learned.stderr
        self.station = start_station(self.settings)
        started.callback(self.end)
        assert until(lambda: len(self.consumer.told) > 0, 60.0), self.log()
        (self.capture,) = capture_children(self.station.pid)
        self.began = time.monotonic()

    def log(self) -> str:
        return (self.folder / "station.log").read_text(encoding="utf-8")[-4_000:]

    def end(self) -> None:
        self.station.kill()
        self.station.wait()

    def sample(self) -> dict[str, Any]:
        pid = self.station.pid
        captures = capture_children(pid)
        self.capture = captures[0] if captures else self.capture
        tally = self.consumer.state.get("tally", {})
        spread = tally.get("trigger_to_verdict_ms") or {}
        journal = [self.folder / f"journal.db{end}" for end in ("", "-wal")]
        return {
            "minutes": round((time.monotonic() - self.began) / 60, 4),
            "station_mb": round(resident_mb(pid), 3),
            "capture_mb": round(resident_mb(self.capture), 3) if captures else None,
            "open_files": len(os.listdir(f"/proc/{pid}/fd")),  # noqa: PTH208 - a count
            "threads": _status(pid, "Threads"),
            "journal_mb": round(sum(p.stat().st_size for p in journal if p.exists()) / 1e6, 3),
            "triggers": tally.get("triggers"),
            "missed": tally.get("triggers_missed"),
            "late": tally.get("late"),
            "capture_restarts": tally.get("capture_restarts"),
            "told": len(self.consumer.told),
            "p50_ms": spread.get("p50"),
            "p99_ms": spread.get("p99"),
        }

    def run(self, report: Report) -> None:
        end = self.began + self.options.minutes * 60
        last = self.began + LONGER * self.options.minutes * 60
        said = self.began
        while (now := time.monotonic()) < last:
            if now >= end and len(self.consumer.told) >= self.options.parts:
                break
            if self.station.poll() is not None:
                report.require(False, f"the station ended: {self.log()}")
                return
            report.trials.append(self.sample())
            if time.monotonic() - said > 30.0:
                said = time.monotonic()
                say(" ".join(f"{key} {value}" for key, value in report.trials[-1].items()))
            time.sleep(self.options.every_s)
        few = f"{len(self.consumer.told)} parts, {self.options.parts} were asked for"
        report.require(len(self.consumer.told) >= self.options.parts, few)

    def judge(self, report: Report) -> None:
        """Stop between two parts, so that the books can be closed."""
        refused = order(self.folder, "stop")
        report.require(refused is None, f"{refused}")
        until(lambda: self.consumer.state.get("state") == "READY")
        tally = self.consumer.state["tally"]
        self.station.terminate()
        code = self.station.wait(60.0)
        report.require(code == 0, f"the station ended with {code}: {self.log()}")
        until(lambda: len(self.consumer.told) >= self.consumer.state["seq"])
        found = account(self.folder / "journal.db", self.consumer, self.options.deadline_ms)
        report.faults += found.faults
        verdicts = sum(tally["verdicts"].values()) + tally["unrecorded"]
        report.require(
            tally["triggers"] == verdicts == found.rows,
            f"{tally['triggers']} triggers, {verdicts} verdicts, {found.rows} rows",
        )
        left = capture_children()
        report.require(not left, f"capture processes were left behind: {left}")
        report.figures |= {
            "parts": found.rows,
            "triggers, verdicts": f"{tally['triggers']}, {verdicts}",
            "triggers missed": tally["triggers_missed"],
            "evaluations": dict(found.evaluations),
            "late, rejected": found.late,
            "late passes": found.late_passes,
            "slowest pass ms": found.slowest_pass_ms,
            "trigger to verdict, last 1000": tally["trigger_to_verdict_ms"],
            "lost at the consumer": found.lost,
            "told again": self.consumer.repeats,
            "capture restarts": tally["capture_restarts"],
            "longest silence of the heart s": round(
                self.consumer.longest_silence_s(since=self.began), 3
            ),
        }


def judge_memory(report: Report, minutes: float, warm_up_min: float) -> None:
    rows = [row for row in report.trials if row["minutes"] >= warm_up_min]
    report.figures["warm-up left out"] = f"{warm_up_min:g} min"
    for who in ("station", "capture"):
        kept = [row for row in rows if row[f"{who}_mb"] is not None]
        if len(kept) < 10:
            report.figures[f"{who} MB/h"] = "too few samples"
            continue
        megabytes = [row[f"{who}_mb"] for row in kept]
        slope, low, high = slope_mb_h([row["minutes"] / 60 for row in kept], megabytes)
        report.figures[f"{who} MB"] = f"{megabytes[0]:.1f} to {megabytes[-1]:.1f}"
        report.figures[f"{who} MB/h"] = f"{slope:.2f} ({low:.2f} to {high:.2f})"
        if minutes >= JUDGED_FROM_MIN:
            grows = f"the {who} grows by {slope:.2f} MB an hour, at most {SLOPE_MAX_MB_H:g}"
            report.require(slope <= SLOPE_MAX_MB_H, grows)
    if minutes < JUDGED_FROM_MIN:
        report.figures["memory"] = f"not judged: less than {JUDGED_FROM_MIN:g} min"
    for what in ("open_files", "threads"):
        report.figures[what] = f"{rows[0][what]} to {rows[-1][what]}" if rows else "unknown"


def draw(trials: list[dict[str, Any]], path: Path, warm_up_min: float) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    panels = {
        "station resident, MB": ("station_mb",),
        "capture resident, MB": ("capture_mb",),
        "trigger to verdict, ms": ("p50_ms", "p99_ms"),
        "of the station": ("open_files", "threads"),
        "journal, MB": ("journal_mb",),
        "parts/s": (),
    }
    figure, axes = plt.subplots(len(panels), 1, figsize=(9, 13), sharex=True, layout="constrained")
    minutes = [row["minutes"] for row in trials]
    for axis, (unit, keys) in zip(axes, panels.items(), strict=True):
        for key in keys:
            values = [np.nan if row[key] is None else row[key] for row in trials]
            axis.plot(minutes, values, label=key, linewidth=1)
        axis.set_ylabel(unit)
        axis.axvspan(0, warm_up_min, color="0.93")
        axis.grid(alpha=0.3)
        if len(keys) > 1:
            axis.legend(loc="best", frameon=False)
    if len(trials) > 1:
        told = np.array([row["told"] for row in trials], np.float64)
        axes[-1].plot(minutes[1:], np.diff(told) / (np.diff(minutes) * 60), linewidth=1)
    for axis in axes[2:]:  # memory is drawn close up: a slope must show
        axis.set_ylim(bottom=0)
    axes[-1].set_xlabel("minutes (grey: the warm-up left out)")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def soak(report: Report, options: Namespace) -> None:
    memory_before = shared_memory()
    with tempfile.TemporaryDirectory(prefix="soak-") as name, ExitStack() as started:
        work = Soak(options, Path(name), started)
        try:
            work.run(report)
        except KeyboardInterrupt:
            report.interrupted = True
        if work.station.poll() is None:
            work.judge(report)
        (report.out / "soak-station.log").write_text(work.log(), encoding="utf-8")
    left = shared_memory() - memory_before
    report.require(not left, f"shared memory was left behind: {left}")
    minutes = report.trials[-1]["minutes"] if report.trials else 0.0
    warm_up = min(options.warm_up_min, minutes / 3)
    judge_memory(report, minutes, warm_up)
    draw(report.trials, report.out / "soak.png", warm_up)


def main() -> int:
    parser = arguments(__doc__, "soak")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=30.0, help="parts a second (default 30)")
    parser.add_argument("--parts", type=int, default=0, help="go on until so many parts (0: no)")
    parser.add_argument(
        "--camera-rate", type=float, default=120.0, help="frames a second of the camera"
    )
    parser.add_argument("--deadline-ms", type=int, default=100, help="of a part (default 100)")
    parser.add_argument("--frames", type=int, default=135, help="different parts in the film")
    parser.add_argument("--every-s", type=float, default=5.0, help="between two samples")
    parser.add_argument("--warm-up-min", type=float, default=10.0, help="left out of the slope")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    report = Report("soak", options)
    return command(report, lambda found: soak(found, options))


if __name__ == "__main__":
    raise SystemExit(main())
