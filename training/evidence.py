"""What is known of a candidate and an incumbent: both judge the same pictures, here and now.

The golden set of a data set, parts that people reviewed, and the shadow's record of the line. Each
picture is judged as a station judges it, with each bundle's own limits.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np

from inspector.clock import SystemClock
from inspector.contract.bundle import Bundle
from inspector.contract.errors import BundleError, DataError, ModelError
from inspector.contract.image import Image
from inspector.contract.result import NAMES
from inspector.contract.verdict import WORST_FIRST, Evaluation
from inspector.runtime.fitness import require_suits
from inspector.runtime.loader import open_runtime
from inspector.runtime.onnx import OnnxRuntime
from inspector.station.judging import Job, judge_image
from inspector.station.recipe import Recipe
from inspector.station.stopwatch import Stopwatch
from training.dataset import Dataset
from training.held_out import Record, Seen, settled
from training.known import golden_pictures, reviewed_pictures
from training.likeness import Look, Looks, look
from training.promotion import Case, Evidence, Latency, Says
from training.report import machine_text
from training.reviewed import read_reviewed
from training.shadow_record import shadow_record
from training.turns import in_turns

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

    def ask_all(self, job: Job, images: Sequence[Image]) -> Says:
        """Of a part that is judged in several places: what its worst says."""
        return min((self.ask(job, image) for image in images), key=_rank)

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
    shown, unshown = reviewed_pictures(reviewed, sources.data, dataset, pair.bundles)
    known = [*golden_pictures(sources.data, dataset, incumbent), *shown]
    if not known:
        raise DataError(f"{sources.data}: names no golden set, and nothing is reviewed")
    cases: list[Case] = []
    looks: list[Look] = []
    around: dict[int, Look] = {}
    timed: list[Image] = []
    for i in bar(range(len(known)), len(known)):
        each = known[i]
        images, whole = each.read()
        alone = images[0] if len(images) == 1 else whole
        looks.append(look(alone))
        if whole.shape != alone.shape:
            around[i] = look(whole)
        if len(timed) < TIMED_PICTURES:
            timed.append(images[0])
        mine, theirs = (pair.ask_all(job, images) for job in (pair.candidate, pair.incumbent))
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
        unshown=unshown,
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


def _rank(says: Says) -> tuple[int, float]:
    """The worst first, as a station ranks regions."""
    return WORST_FIRST.index(Evaluation[says.evaluation]), -(says.score or 0.0)


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
