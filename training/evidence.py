"""What is known of a candidate and an incumbent: both judge the same pictures, here and now.

The golden set of a data set, parts that people reviewed, and the shadow's record of the line. Each
picture is judged as a station judges it, with each bundle's own limits.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from inspector.clock import SystemClock
from inspector.contract.bundle import Bundle
from inspector.contract.errors import BundleError, ConfigError, DataError, ModelError
from inspector.contract.image import Image, Region, cut, decode
from inspector.contract.result import NAMES
from inspector.contract.shadow import Opinion
from inspector.delivery.archive import SUFFIX
from inspector.delivery.disagreements import read_disagreements, read_tallies
from inspector.runtime.fitness import require_suits
from inspector.runtime.loader import open_runtime
from inspector.runtime.onnx import OnnxRuntime
from inspector.station.judging import Job, judge_image
from inspector.station.recipe import Recipe
from inspector.station.stopwatch import Stopwatch
from training.dataset import Dataset
from training.promotion import Case, Disagreed, Evidence, Latency, Says, Shadowed
from training.report import machine_text
from training.reviewed import Reviewed, read_reviewed
from training.versions import MANIFEST, read_rows

ROUNDS = 200
WARM_UP = 10
TIMED_PICTURES = 16

Bar = Callable[[Iterable[int], int], Iterable[int]]


class Sources(NamedTuple):
    """Where the evidence is."""

    data: Path
    """A version of the line's data set, or any that names its golden set."""
    reviews: Sequence[Path] = ()
    """Stations' settings, or copies of their folders."""
    shadows: Sequence[Path] = ()
    """Stations' settings, or folders of shadows."""


class _Known(NamedTuple):
    """A picture whose class is known, before it is judged."""

    path: Path
    name: str
    part: str
    label: str
    is_golden: bool
    trained: bool
    region: tuple[int, int, int, int] | None = None
    stopped_there: bool = False
    """By the incumbent, at its station."""


class Pair:
    """Two bundles, ready to judge."""

    def __init__(self, candidate: Bundle, incumbent: Bundle) -> None:
        """Verified and self-tested on this machine. Raises BundleError."""
        self.bundles = candidate, incumbent
        self.candidate, self.incumbent = (
            Job(Recipe(name="promote", bundle=bundle.id), open_runtime(bundle))
            for bundle in self.bundles
        )
        self._clock = SystemClock()

    def ask(self, job: Job, image: Image) -> Says:
        """As a station would judge the whole picture."""
        try:
            judged = judge_image(image, job, Stopwatch(self._clock, self._clock.monotonic()))
        except (ModelError, ValueError):
            return Says(evaluation="UNDEFINED", label=None, score=None)
        name = NAMES[judged.verdict.evaluation]
        return Says(evaluation=name, label=judged.label, score=judged.score)

    def in_turn(self, images: Sequence[Image], rounds: int = ROUNDS) -> tuple[Latency, Latency]:
        """What a picture costs the candidate and the incumbent, by turns on the same picture."""
        times = np.empty((WARM_UP + rounds, 2))
        for i, row in enumerate(times):
            image = images[i % len(images)]
            for k, job in enumerate((self.candidate, self.incumbent)):
                started = time.perf_counter()
                self.ask(job, image)
                row[k] = (time.perf_counter() - started) * 1e3
        mine, theirs = times[WARM_UP:].T
        return _latency(mine), _latency(theirs)

    def unfit(self) -> tuple[str, ...]:
        """Why a station that runs the incumbent would not take the candidate."""
        candidate, incumbent = self.candidate.runtime, self.incumbent.runtime
        if candidate.bundle_id == incumbent.bundle_id:
            return ("candidate and incumbent are the same bundle",)
        assert isinstance(candidate, OnnxRuntime)  # noqa: S101 - for mypy: as it was opened
        assert isinstance(incumbent, OnnxRuntime)  # noqa: S101 - as above
        try:
            require_suits(candidate, incumbent, self.candidate.recipe)
        except BundleError as error:
            return (str(error),)
        return ()


def gather(pair: Pair, dataset: Dataset, sources: Sources, bar: Bar) -> Evidence:
    """All there is to decide by. bar: passes numbers on while pictures are judged.

    Raises DataError, ConfigError, RecordError in words.
    """
    candidate, incumbent = pair.bundles
    good = candidate.manifest.good
    reviewed = read_reviewed(sources.reviews)
    known = [*_golden(dataset), *_reviewed(reviewed, sources.data, candidate, incumbent)]
    if not known:
        raise DataError(f"{sources.data}: names no golden set, and nothing is reviewed")
    cases: list[Case] = []
    timed: list[Image] = []
    for i in bar(range(len(known)), len(known)):
        each = known[i]
        image = _read(each)
        if len(timed) < TIMED_PICTURES:
            timed.append(image)
        mine, theirs = pair.ask(pair.candidate, image), pair.ask(pair.incumbent, image)
        case = Case(
            name=each.name,
            picture=str(each.path),
            part=each.part,
            label=each.label,
            is_defect=each.label not in good,
            source="golden" if each.is_golden else "reviewed",
            trained=each.trained,
            incumbent=theirs,
            candidate=mine,
            caught=each.stopped_there or not theirs.passes,
        )
        cases.append(case)
    latency_candidate, latency_incumbent = pair.in_turn(timed)
    return Evidence(
        incumbent=incumbent.id,
        candidate=candidate.id,
        unfit=pair.unfit(),
        unknown=_unknown(candidate, dataset),
        classes=tuple(sorted({case.label for case in cases if case.is_defect})),
        cases=tuple(cases),
        shadow=_shadow(sources.shadows, pair, reviewed, good),
        latency_incumbent=latency_incumbent,
        latency_candidate=latency_candidate,
        latency_ratio=latency_candidate.p50_ms / latency_incumbent.p50_ms,
        machine=machine_text(),
        data=dataset.layout,
    )


def _golden(dataset: Dataset) -> list[_Known]:
    return [
        _Known(s.image, s.name, s.part, s.label, is_golden=True, trained=False)
        for s in dataset.samples
        if s.split == "golden"
    ]


def _reviewed(
    reviewed: list[Reviewed], data: Path, candidate: Bundle, incumbent: Bundle
) -> list[_Known]:
    """What people agree on, the golden set's own left out."""
    rows = read_rows(data) if (data / MANIFEST).is_file() and _is_version(data) else []
    split = {row.key: row.sample.split for row in rows if row.key}
    known = []
    for part in reviewed:
        if part.label is None or split.get(part.key) == "golden" or part.picture_bytes() is None:
            continue
        facts = part.facts
        if facts.regions > 1 and candidate.manifest.tiles is None:
            continue  # the whole picture is no picture of what was judged
        stopped = facts.bundle == incumbent.id and facts.evaluation in ("NOT_OK", "NOT_DECIDABLE")
        known.append(
            _Known(
                part.picture,
                part.name,
                facts.part or part.name,
                part.label,
                is_golden=False,
                trained=part.key in split,
                region=facts.region if candidate.manifest.tiles is None else None,
                stopped_there=stopped,
            )
        )
    return known


def _is_version(data: Path) -> bool:
    with (data / MANIFEST).open(encoding="utf-8") as file:
        return "result_id" in file.readline()


def _read(known: _Known) -> Image:
    try:
        image = decode(known.path.read_bytes())
        if known.region is None:
            return image
        x, y, width, height = known.region
        return cut(image, Region(name="judged", x=x, y=y, width=width, height=height))
    except (OSError, ValueError) as error:
        raise DataError(f"{known.path}: cannot be read: {error}") from None


def _unknown(candidate: Bundle, dataset: Dataset) -> tuple[str, ...]:
    made_of = candidate.manifest.data.fingerprint
    if any(made_of == dataset.fingerprint(marks=marks) for marks in (False, True)):
        return ()
    return (
        f"{candidate.id} was made of other data than {dataset.layout}: which of its parts it "
        f"learned from is not known",
    )


def _shadow(
    folders: Sequence[Path], pair: Pair, reviewed: list[Reviewed], good: tuple[str, ...]
) -> Shadowed:
    candidate, incumbent = (bundle.id for bundle in pair.bundles)
    labels = {part.key: part.label for part in reviewed}
    judged, lost, disagreed = 0, 0, []
    for folder in map(shadow_folder, folders):
        tallies = [
            t for t in read_tallies(folder) if (t.serving, t.shadow) == (incumbent, candidate)
        ]
        judged += sum(each.judged for each in tallies)
        numbers: dict[str, list[int]] = {}
        for message in read_disagreements(folder):
            if message.shadow.bundle != candidate:
                continue
            numbers.setdefault(message.boot, []).append(message.number)
            if message.serving.bundle != incumbent:
                continue
            label = labels.get((message.station, message.result_id))
            disagreed.append(
                Disagreed(
                    station=message.station,
                    result_id=message.result_id,
                    picture=str(folder / f"{message.image}{SUFFIX}"),
                    label=label,
                    is_defect=None if label is None else label not in good,
                    incumbent=_says(message.serving),
                    candidate=_says(message.shadow),
                )
            )
        lost += sum(max(mine) - len(set(mine)) for mine in numbers.values())
    return Shadowed(judged=judged, disagreed=tuple(disagreed), lost=lost)


def shadow_folder(source: Path) -> Path:
    """Of a station's settings, or the folder itself. Raises ConfigError where there is none."""
    if source.suffix != ".toml":
        if not source.is_dir():
            raise ConfigError(f"--shadow {source}: there is no such folder")
        return source
    # only here: it loads every device's library
    from inspector.settings import read_settings

    shadow = read_settings(source).shadow
    if shadow is None:
        raise ConfigError(f"--shadow {source}: has no [shadow]; name the shadow's folder")
    return shadow.folder


def _says(opinion: Opinion) -> Says:
    return Says(evaluation=opinion.evaluation, label=opinion.label, score=opinion.score)


def _latency(times_ms: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> Latency:
    p50, p99 = (float(np.percentile(times_ms, q)) for q in (50, 99))
    return Latency(n=len(times_ms), p50_ms=p50, p99_ms=p99)
