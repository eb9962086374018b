"""`inspector bench --runtimes`: which library, and how many threads, run a bundle best right here.

Each candidate opens the bundle in a process of its own, is held to the golden pictures, and then
judges some of them, in turns with all the others: a busy neighbour slows all alike. What serves
when nothing was measured (onnxruntime, one thread, as training judged it) is left only for what is
clearly quicker.
"""

import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from inspector.bench_worker import Opened, Worker
from inspector.contract.bundle import Bundle, read_bundle
from inspector.contract.errors import BundleError, DeviceError
from inspector.contract.strict import Name, Strict
from inspector.energy import EnergySettings, Meter, open_meter
from inspector.runtime.choice import Chosen, record
from inspector.runtime.fitness import regions_here
from inspector.runtime.loader import open_runtime
from inspector.runtime.machine import Machine, this_machine
from inspector.runtime.onnx import installed_providers
from inspector.runtime.settings import AS_JUDGED, Kind, RuntimeSettings
from inspector.serves import serving
from inspector.settings import read_settings
from inspector.station.spread import spread

TURNS = 20
WORTH = 0.9
"""Another candidate must take at most this share of the median: noise decides nothing."""
THREADS_MAX = 8


class Row(Strict):
    """One candidate; without figures where it cannot serve."""

    kind: Kind
    threads: int
    provider: str
    words: str
    fault: str | None = None
    engine: str | None = None
    difference: float | None = None
    """The largest of a golden probability from what was expected."""
    n: int = 0
    p50_ms: float | None = None
    p99_ms: float | None = None
    cpu_ms: float | None = None
    """CPU time a part, all threads."""
    memory_mb: float | None = None
    """The most that its process, which does nothing else, was resident."""
    joules: float | None = None
    """A part, of all that the meter measures: the machine's rest too."""


class RuntimesReport(Strict):
    schema_version: Literal[1] = Field(default=1, alias="schema")
    bundle: Name
    images: Annotated[int, Field(gt=0)]
    """In one batch: a part's regions."""
    machine: Machine
    meter: str
    rows: tuple[Row, ...]
    chosen: int | None
    """Its place in rows; None where nothing can serve."""


class Subject(NamedTuple):
    """What is measured: a bundle, as a station would run it."""

    bundle: Bundle
    images: int
    chosen_file: Path | None
    meter: Meter | str
    """Why there is none."""


def subject_of(path: Path) -> Subject:
    """Of a station.toml the bundle that serves, and its recipe's regions; else a bundle's folder.

    Raises ConfigError, BundleError.
    """
    if path.is_dir():
        return Subject(read_bundle(path), 1, None, _meter(None))
    settings = read_settings(path)
    recipe, bundle = serving(settings)
    images = regions_here(open_runtime(bundle), recipe)
    return Subject(bundle, images, settings.runtime.chosen, _meter(settings.energy))


def _meter(settings: EnergySettings | None) -> Meter | str:
    try:
        return open_meter(settings)
    except DeviceError as error:
        return str(error)


def candidates(machine: Machine) -> list[RuntimeSettings]:
    """The safest first."""
    threads = [1]
    while 2 * threads[-1] <= min(machine.cores, THREADS_MAX):
        threads.append(2 * threads[-1])
    kinds: list[Kind] = ["onnxruntime"]
    if importlib.util.find_spec("openvino"):
        kinds.append("openvino")
    found = [RuntimeSettings(kind=kind, threads=n) for n in threads for kind in kinds]
    gpus = [each for each in installed_providers() if each != "cpu"]
    return [*found, *(RuntimeSettings(provider=each) for each in gpus)]


def measure_runtimes(subject: Subject, parts: int) -> RuntimesReport:
    """parts: of each candidate, at least one a turn."""
    machine = this_machine()
    wanted = candidates(machine)
    with ExitStack() as started:
        workers = [
            started.enter_context(Worker(subject.bundle.folder, each, subject.images))
            for each in wanted
        ]
        opened = [worker.opened() for worker in workers]
        rows = _measured(wanted, workers, opened, subject.meter, parts)
    meter = subject.meter if isinstance(subject.meter, str) else subject.meter.name
    return RuntimesReport(
        bundle=subject.bundle.id,
        images=subject.images,
        machine=machine,
        meter=meter,
        rows=tuple(rows),
        chosen=choose(rows),
    )


def _measured(
    wanted: Sequence[RuntimeSettings],
    workers: Sequence[Worker],
    opened: Sequence[Opened | str],
    meter: Meter | str,
    parts: int,
) -> list[Row]:
    took_ms: list[list[float]] = [[] for _ in wanted]
    cpu_ms, joules, memory_mb = ([0.0] * len(wanted) for _ in range(3))
    faults = [each if isinstance(each, str) else None for each in opened]
    for _ in range(min(TURNS, parts)):
        for i, worker in enumerate(workers):
            if faults[i] is not None:
                continue
            before = 0.0 if isinstance(meter, str) else meter.joules()
            turn = worker.run(max(1, parts // TURNS))
            if isinstance(turn, str):
                faults[i] = turn
                continue
            joules[i] += 0.0 if isinstance(meter, str) else meter.joules() - before
            took_ms[i] += turn.took_ms
            cpu_ms[i] += turn.cpu_ms
            memory_mb[i] = turn.memory_mb
    rows = []
    for i, settings in enumerate(wanted):
        row = Row(
            kind="openvino" if settings.kind == "openvino" else "onnxruntime",
            threads=settings.threads,
            provider=settings.provider,
            words=settings.words,
            fault=faults[i],
        )
        times, first = spread(took_ms[i]), opened[i]
        if faults[i] is None and times is not None and isinstance(first, Opened):
            row = row.model_copy(
                update={
                    "engine": first.engine,
                    "difference": first.difference,
                    "n": times.n,
                    "p50_ms": times.p50,
                    "p99_ms": times.p99,
                    "cpu_ms": round(cpu_ms[i] / times.n, 3),
                    "memory_mb": round(memory_mb[i], 1),
                    "joules": None if isinstance(meter, str) else joules[i] / times.n,
                }
            )
        rows.append(row)
    return rows


def choose(rows: Sequence[Row]) -> int | None:
    """The first, unless a later one takes a tenth less in the median and no more at its p99."""
    best: int | None = None
    for i, row in enumerate(rows):
        if row.p50_ms is None or row.p99_ms is None:
            continue
        if best is None:
            best = i
            continue
        p50_ms, p99_ms = rows[best].p50_ms, rows[best].p99_ms
        if p50_ms is not None and p99_ms is not None:
            quicker = row.p50_ms <= WORTH * p50_ms and row.p99_ms <= p99_ms
            best = i if quicker else best
    return best


def keep(report: RuntimesReport, path: Path) -> None:
    """For stations whose runtime.kind is "auto". Raises OSError."""
    if report.chosen is None:
        raise BundleError(f"bundle {report.bundle}: no runtime can serve it here")
    row = report.rows[report.chosen]
    chosen = Chosen.model_validate(
        {"kind": row.kind, "threads": row.threads, "provider": row.provider, "p99_ms": row.p99_ms}
    )
    record(path, report.bundle, chosen)


def lines_of(report: RuntimesReport) -> Iterator[str]:
    """The table, and what to write into station.toml."""
    pictures = "1 picture" if report.images == 1 else f"{report.images} pictures in one batch"
    n = max((row.n for row in report.rows), default=0)
    yield f"bundle {report.bundle} on {report.machine.cpu}, {report.machine.cores} cores"
    yield f"a part is {pictures}, n = {n} parts each, in turns; the golden pictures"
    form = "{:<24} {:>9} {:>9} {:>9} {:>8} {:>9} {:>9}"
    yield form.format("", "p50 ms", "p99 ms", "CPU ms", "MB", "J/part", "golden")
    for row in report.rows:
        if row.p50_ms is None:
            yield f"{row.words:<24} cannot serve: {row.fault}"
            continue
        joules = "-" if row.joules is None else f"{row.joules:.4f}"
        figures = (f"{row.p50_ms:.3f}", f"{row.p99_ms:.3f}", f"{row.cpu_ms:.2f}")
        memory, difference = f"{row.memory_mb:.0f}", f"{row.difference:.1e}"
        yield form.format(row.words, *figures, memory, joules, difference)
    if "openvino" not in report.machine.versions:
        yield "openvino is not installed: pip install 'inspector[openvino]'"
    yield f"energy: {report.meter}"
    if report.chosen is None:
        yield "choose: nothing, no runtime can serve this bundle here"
        return
    row = report.rows[report.chosen]
    yield f"choose: {row.words}" + (" (as it is without a word)" if report.chosen == 0 else "")
    yield from ("", "[runtime]", f'kind = "{row.kind}"', f"threads = {row.threads}")
    if row.provider != AS_JUDGED.provider:
        yield f'provider = "{row.provider}"'
