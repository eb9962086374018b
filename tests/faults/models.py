"""Models that are slow, that never come back, or that compute NaN, on some of the parts.

Real ONNX graphs in real bundles, which pass their self-test: what is wrong with them shows on white
parts alone. A slow one is work, and the heart beats on; an endless one is stopped a second after
its part's deadline; none of the white parts passes, each says why, the others are judged as ever.
"""

import json
import random
import tempfile
import time
from argparse import Namespace
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort

from inspector.contract.bundle import Bundle
from tests.brokers import Mosquitto
from tests.faults.bench import Consumer, Report, account, arguments, command, rows_of
from tests.support import (
    ENDLESS,
    GREY,
    SIZE,
    make_bundle,
    make_model,
    start_station,
    until,
    write_pictures,
    write_station,
)

WHITE = 320  # bright enough that noise makes none of it darker
SLOW_S = 1.5
NAN, SLOW, LATE, HANGS = "NaN", "slow", "slow beyond the deadline", "hangs"


@dataclass(frozen=True, slots=True)
class Kind:
    name: str
    deadline_ms: int
    reason: str
    """What a white part's result says."""


KINDS = (
    Kind(NAN, 5_000, "score nan"),
    Kind(SLOW, 5_000, "bright"),
    Kind(LATE, 300, "deadline of 300 ms missed; judged "),  # a busy machine has it stopped too
    Kind(HANGS, 400, "the model took no end and was stopped"),
)


def bundle_of(kind: Kind, folder: Path) -> Bundle:
    if kind.name == NAN:
        return make_bundle(folder, nan_above=0.98)
    rounds = ENDLESS if kind.name == HANGS else _rounds(folder, SLOW_S)
    return make_bundle(folder, loops_above=(0.98, rounds))


def _rounds(folder: Path, seconds: float) -> int:
    """How often a loop must go round on this machine to take so long."""
    folder.mkdir(parents=True, exist_ok=True)
    trial, rounds = folder / ".trial.onnx", 300_000
    make_model(trial, loops_above=(0.98, rounds))
    session = ort.InferenceSession(trial, providers=["CPUExecutionProvider"])
    took_s = []
    for _ in range(3):
        began = time.monotonic()
        session.run(None, {"image": np.full((1, SIZE, SIZE, 3), 255, np.uint8)})
        took_s.append(time.monotonic() - began)
    trial.unlink()
    return round(rounds * seconds / min(took_s))  # a busy machine makes it slower, never quicker


def models(report: Report, kind: Kind, parts: Sequence[bool], silence_max_s: float) -> None:
    """parts: which of them are white."""
    with tempfile.TemporaryDirectory(prefix="models-") as name, ExitStack() as started:
        folder = Path(name)
        write_pictures(folder / "pictures", [WHITE if white else GREY for white in parts])
        broker = started.enter_context(Mosquitto(folder).start())
        consumer = started.enter_context(Consumer(broker.port))
        settings = write_station(
            folder,
            bundle_of(kind, folder / "bundles"),
            trigger={"kind": "interval", "period_ms": 50},
            mqtt={"port": broker.port},
            recipe={"deadline_ms": kind.deadline_ms, "frame_timeout_ms": 300},
            rules={"unjudged_max": 1_000},
        )
        station = start_station(settings)
        started.callback(station.wait)
        started.callback(station.kill)
        assert until(lambda: len(consumer.told) > 0, 60.0), (folder / "station.log").read_text()
        began = time.monotonic()
        code = station.wait(60.0 + len(parts) * (SLOW_S + 2.0))
        report.require(code == 0, f"the station ended with {code}")
        until(lambda: consumer.state["state"] == "OFFLINE")
        until(lambda: consumer.highest >= consumer.state["seq"])
        found = account(folder / "journal.db", consumer)
        report.faults += found.faults
        report.require(found.rows == len(parts), f"{found.rows} rows of {len(parts)} parts")
        for white, (seq, payload) in zip(parts, rows_of(folder / "journal.db"), strict=True):
            result = json.loads(payload)
            said = f"seq {seq} {result['evaluation']}: {result['reason']}"
            report.require(result["pass"] is not white, f"white {white}: {said}")
            if white:
                report.require(kind.reason in result["reason"], f"not why: {said}")
        silence_s = consumer.longest_silence_s(since=began)
        said = f"{kind.name}: {silence_s:.2f} s without a heartbeat, at most {silence_max_s:g}"
        report.require(silence_s <= silence_max_s, said)
        report.trials.append(
            {"model": kind.name, "parts": found.rows, "white": sum(parts), "silence_s": silence_s}
        )
        report.figures[kind.name] = (
            f"passed 0 of {sum(parts)} white ones, {found.passes} of {len(parts) - sum(parts)} "
            f"others, longest silence {silence_s:.2f} s"
        )


def main() -> int:
    parser = arguments(__doc__, "models")
    parser.add_argument("--parts", type=int, default=60, help="with each model (default 60)")
    options: Namespace = parser.parse_args()
    chance = random.Random(options.seed)  # noqa: S311

    def work(report: Report) -> None:
        with suppress(KeyboardInterrupt):
            report.interrupted = True
            for kind in KINDS:
                parts = [chance.random() < 0.25 for _ in range(options.parts)]
                # beyond a deadline it is silent on purpose: until the model is back, or stopped
                models(
                    report, kind, [False, True, *parts], 0.5 if kind.deadline_ms > 1_000 else 3.0
                )
            report.interrupted = False

    return command(Report("models", options), work)


if __name__ == "__main__":
    raise SystemExit(main())
