"""The figures of all contenders, and what was asked of them."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tests.benchmarks.peers.contenders import Turns


@dataclass(frozen=True, slots=True)
class Row:
    """One contender, in milliseconds."""

    name: str
    what: str
    n: int
    p50: float
    p99: float
    per_s: float
    cpu: float
    """Of a part, all threads of its process."""

    @classmethod
    def of(cls, name: str, what: str, turns: Turns) -> "Row":
        p50, p99 = (float(each) for each in np.percentile(turns.ms, [50, 99]))
        n = len(turns.ms)
        return cls(name, what, n, p50, p99, n / turns.wall_s, 1e3 * turns.cpu_s / n)


@dataclass(frozen=True, slots=True)
class Bar:
    """What was asked, and what was found."""

    text: str
    found: float
    at_least: float | None = None
    at_most: float | None = None

    @property
    def held(self) -> bool:
        low = self.at_least is None or self.found >= self.at_least
        return low and (self.at_most is None or self.found <= self.at_most)

    def line(self) -> str:
        wanted = f">= {self.at_least:g}" if self.at_least is not None else f"<= {self.at_most:g}"
        return f"| {self.text} | {wanted} | {self.found:.2f} | {'yes' if self.held else 'NO'} |"


RAW, SCRIPT = "onnxruntime, bare loop", "onnxruntime, plain script"
PREDICT, SAME, LINEAR = "ultralytics predict", "station", "station, linear resize"
OURS, OURS_RAW, PADIM = "station, own model", "onnxruntime, own model", "anomalib PaDiM-resnet18"


def bars(rows: Mapping[str, Row], verdict_p99: Mapping[str, float]) -> Iterator[Bar]:
    """Of those contenders that were there. verdict_p99: a station's, from trigger to durable."""
    raw, predict, script = rows.get(RAW), rows.get(PREDICT), rows.get(SCRIPT)
    for name in (SAME, LINEAR):
        same = rows.get(name)
        if not (raw and predict and script and same):
            continue
        share = (same.p50 - raw.p50) / (predict.p50 - raw.p50)
        yield Bar(f"a: {name}: overhead over raw, of ultralytics' (p50)", share, at_most=0.5)
        yield Bar(
            f"a: {name}: p99 from result to result, of raw's", same.p99 / raw.p99, at_most=1.3
        )
        durable = verdict_p99[name] / raw.p99
        yield Bar(f"a: {name}: p99 from trigger to durable, of raw's", durable, at_most=1.3)
        for loop in (raw, script):
            yield Bar(
                f"a: {name}: parts/s, of {loop.name}'s", same.per_s / loop.per_s, at_least=0.9
            )
    ours = rows.get(OURS)
    for other, times in ((predict, 3.0), (rows.get(PADIM), 20.0)):
        if ours and other:
            text = f"b: {ours.name}: parts/s, of {other.name}'s"
            yield Bar(text, ours.per_s / other.per_s, at_least=times)


def markdown(report: Mapping[str, Any], rows: list[Row], asked: list[Bar]) -> Iterator[str]:
    yield f"{report['machine']}; {report['versions']}"
    yield f"{report['pictures']}; turns of {report['turn_s']:g} s, {report['rounds']} rounds"
    yield ""
    yield "| | n | p50 ms | p99 ms | parts/s | CPU ms a part | what |"
    yield "|---|---|---|---|---|---|---|"
    for row in rows:
        figures = f"{row.n} | {row.p50:.2f} | {row.p99:.2f} | {row.per_s:.1f} | {row.cpu:.2f}"
        yield f"| {row.name} | {figures} | {row.what} |"
    for name, spread in report["verdict_ms"].items():
        text = f"p50 {spread['p50']:.2f}, p99 {spread['p99']:.2f} ms, the last {spread['n']} parts"
        yield f"\n{name}, from trigger to durable by its own watch: {text}"
    if report["accuracy"]:
        yield "\n| accuracy on the same pictures | accuracy | balanced | AUROC | parameters |"
        yield "|---|---|---|---|---|"
        for name, each in report["accuracy"].items():
            figures = " | ".join(
                f"{100 * each[k]:.2f} %" for k in ("accuracy", "balanced", "auroc")
            )
            yield f"| {name}, n = {each['n']} | {figures} | {each['parameters']} |"
    yield "\n| asked | | found | held |"
    yield "|---|---|---|---|"
    for bar in asked:
        yield bar.line()


def as_json(rows: list[Row], asked: list[Bar]) -> dict[str, Any]:
    return {
        "rows": [asdict(row) for row in rows],
        "asked": [{**asdict(bar), "held": bar.held} for bar in asked],
    }
