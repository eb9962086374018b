"""What is known of a candidate and an incumbent: both judge the same pictures, here and now.

The golden set of a data set, parts that people reviewed, and the shadow's record of the line. Each
picture is judged as a station judges it, with each bundle's own limits.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from inspector.clock import SystemClock
from inspector.contract.bundle import Bundle
from inspector.contract.errors import BundleError, DataError, ModelError
from inspector.contract.image import Image, Region, cut, decode
from inspector.contract.result import NAMES
from inspector.runtime.fitness import require_suits
from inspector.runtime.loader import open_runtime
from inspector.runtime.onnx import OnnxRuntime
from inspector.station.judging import Job, judge_image
from inspector.station.recipe import Recipe
from inspector.station.stopwatch import Stopwatch
from training.dataset import Dataset
from training.freshness import ALIKE
from training.held_out import Record, Seen, settled
from training.likeness import Look, Looks, look
from training.promotion import Case, Evidence, Latency, Says
from training.report import machine_text
from training.reviewed import Reviewed, read_reviewed
from training.shadow_record import shadow_record
from training.turns import in_turns
from training.versions import FACTS, read_facts, read_rows

ROUNDS = 200
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

    def in_turns(self, images: Sequence[Image], rounds: int = ROUNDS) -> tuple[Latency, Latency]:
        """What a picture costs the candidate and the incumbent."""

        def asked(job: Job) -> Callable[[int], object]:
            return lambda i: self.ask(job, images[i % len(images)])

        mine, theirs = in_turns([asked(self.candidate), asked(self.incumbent)], rounds).T
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
    record = Record.of(candidate)
    known = [*_golden(dataset), *_reviewed(reviewed, sources, dataset, pair.bundles)]
    if not known:
        raise DataError(f"{sources.data}: names no golden set, and nothing is reviewed")
    cases: list[Case] = []
    looks: list[Look] = []
    around: dict[int, Look] = {}
    timed: list[Image] = []
    for i in bar(range(len(known)), len(known)):
        each = known[i]
        image, whole = _read(each)
        looks.append(look(image))
        if whole.shape != image.shape:
            around[i] = look(whole)
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
    latency_candidate, latency_incumbent = pair.in_turns(timed)
    fingerprint = dataset.fingerprint()
    return Evidence(
        incumbent=incumbent.id,
        candidate=candidate.id,
        unfit=pair.unfit(),
        unknown=(*_unknown(candidate, dataset, fingerprint), *record.unsaid()),
        classes=tuple(sorted({case.label for case in cases if case.is_defect})),
        cases=settled(cases, Seen(Looks.of(looks), around), record),
        shadow=shadow_record(sources.shadows, pair.bundles, reviewed, good),
        latency_incumbent=latency_incumbent,
        latency_candidate=latency_candidate,
        latency_ratio=latency_candidate.least_ms / latency_incumbent.least_ms,
        machine=machine_text(),
        data=dataset.layout,
        data_fingerprint=fingerprint,
        at=datetime.now(UTC),
    )


def _golden(dataset: Dataset) -> list[_Known]:
    return [
        _Known(s.image, s.name, s.part, s.label, is_golden=True, trained=False)
        for s in dataset.samples
        if s.split == "golden"
    ]


def _reviewed(
    reviewed: list[Reviewed], sources: Sources, dataset: Dataset, pair: tuple[Bundle, Bundle]
) -> list[_Known]:
    """What people agree on, the golden set's own left out."""
    candidate, incumbent = pair
    learned = _Learned.of(sources.data, dataset)
    tiles = candidate.manifest.tiles is not None
    known = []
    for part in reviewed:
        if part.label is None or part.key in learned.golden or part.picture_bytes() is None:
            continue
        facts = part.facts
        if facts.regions > 1 and not tiles:
            continue  # the whole picture is no picture of what was judged
        stopped = facts.bundle == incumbent.id and facts.evaluation in ("NOT_OK", "NOT_DECIDABLE")
        known.append(
            _Known(
                part.picture,
                part.name,
                facts.part or part.name,
                part.label,
                is_golden=False,
                trained=learned.has(part),
                region=None if tiles else facts.region,
                stopped_there=stopped,
            )
        )
    return known


class _Learned(NamedTuple):
    """What of the stations' parts is in the data, or so much like it that it was left out."""

    golden: frozenset[tuple[str, str]]
    names: frozenset[str]
    pictures: frozenset[str]
    parts: frozenset[str]

    @classmethod
    def of(cls, data: Path, dataset: Dataset) -> Self:
        parts = frozenset(s.part for s in dataset.samples if s.split != "golden")
        if not (data / FACTS).is_file():  # no version of `collect`: it has no station's parts
            return cls(frozenset(), frozenset(), frozenset(), parts)
        rows = [row for row in read_rows(data) if row.key]
        twins = [each.part for each in read_facts(data).left_out if each.why in ALIKE]
        return cls(
            golden=frozenset(row.key for row in rows if row.key and row.sample.split == "golden"),
            names=frozenset(_stem(name) for name in (*twins, *(row.sample.name for row in rows))),
            pictures=frozenset(row.origin["image_sha256"] for row in rows),
            parts=parts,
        )

    def has(self, part: Reviewed) -> bool:
        facts = part.facts
        return (
            part.name in self.names
            or facts.image_sha256 in self.pictures
            or facts.part in self.parts
        )


def _stem(name: str) -> str:
    """Of a picture in a version: STATION/RESULT."""
    return name.removesuffix(".jpg").removesuffix(".png")


def _read(known: _Known) -> tuple[Image, Image]:
    """What was judged, and what that was cut from."""
    try:
        image = decode(known.path.read_bytes())
        if known.region is None:
            return image, image
        x, y, width, height = known.region
        return cut(image, Region(name="judged", x=x, y=y, width=width, height=height)), image
    except (OSError, ValueError) as error:
        raise DataError(f"{known.path}: cannot be read: {error}") from None


def _unknown(candidate: Bundle, dataset: Dataset, fingerprint: str) -> tuple[str, ...]:
    made_of = candidate.manifest.data.fingerprint
    if made_of in (fingerprint, candidate.manifest.tiles and dataset.fingerprint(marks=True)):
        return ()
    return (
        f"{candidate.id} was made of other data than {dataset.layout}: which of its parts it "
        f"learned from is not known",
    )


def _latency(times_ms: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> Latency:
    p50, p99 = (float(np.percentile(times_ms, q)) for q in (50, 99))
    return Latency(n=len(times_ms), least_ms=float(times_ms.min()), p50_ms=p50, p99_ms=p99)
