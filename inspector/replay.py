"""`inspector replay`: judge a folder of pictures as a station would, without station or broker."""

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from inspector.clock import SystemClock
from inspector.contract.errors import DeviceError, FrameError, ModelError
from inspector.contract.result import NAMES
from inspector.contract.table import csv_line
from inspector.contract.verdict import WORST_FIRST, Evaluation, Verdict
from inspector.devices.camera_replay import names_in, read_image, shown
from inspector.station.judging import Job, Judged, cause_of, judge_attested
from inspector.station.spread import spread
from inspector.station.stopwatch import Stopwatch

COLUMNS = ("picture", "evaluation", "score", "label", "ms", "reason")
HEAD = csv_line(COLUMNS)


@dataclass(frozen=True, slots=True)
class Row:
    """One picture and what became of it; ms: all that is done with it but reading the file."""

    name: str
    judged: Judged
    ms: float

    @property
    def values(self) -> tuple[str, ...]:
        """In the order of COLUMNS."""
        judged = self.judged
        score = "" if judged.score is None else f"{judged.score:.4f}"
        name = NAMES[judged.verdict.evaluation]
        ms = f"{self.ms:.2f}"
        return (self.name, name, score, judged.label or "", ms, judged.verdict.reason)


def judge_folder(folder: Path, job: Job) -> Iterator[Row]:
    """One row a picture, folders below included. Raises DeviceError where there is none."""
    names = names_in(folder)
    if not names:
        raise DeviceError(f"{folder}: there are no pictures in it")
    return judge_files([(shown(file), folder / file) for file in names], job)


def judge_files(files: Sequence[tuple[str, Path]], job: Job) -> Iterator[Row]:
    """One row a file, in their order; one that cannot be read or judged is UNDEFINED.

    files: the name to be shown, and where it is.
    """
    clock = SystemClock()
    with ThreadPoolExecutor(1) as attester:
        for name, path in files:
            try:
                image = read_image(path, name)
                watch = Stopwatch(clock, clock.monotonic())
                judged, _ = judge_attested(image, job, watch, attester)
                yield Row(name, judged, watch.total_ms())
            except (FrameError, ModelError, ValueError) as error:
                yield Row(name, Judged(Verdict.by(cause_of(error), str(error))), 0.0)


def table(rows: Iterator[Row], seen: list[Row]) -> Iterator[str]:
    """One line a picture as it is judged; every row is kept in `seen`."""
    form = "{:<40} {:<13} {:>7} {:<16} {:>8}  {}"
    yield form.format(*COLUMNS)
    for row in rows:
        seen.append(row)
        yield form.format(*row.values)


def summary(rows: Sequence[Row]) -> Iterator[str]:
    """Counts per verdict, for each folder of the pictures and for all; and the times."""
    folders: dict[str, Counter[Evaluation]] = {}
    for row in rows:
        folder = row.name.rpartition("/")[0] or "."
        folders.setdefault(folder, Counter())[row.judged.verdict.evaluation] += 1
    if len(folders) > 1:
        folders["all"] = sum(folders.values(), Counter())
    form = "{:<40}" + " {:>13}" * (1 + len(WORST_FIRST))
    yield form.format("folder", "pictures", *(NAMES[each] for each in WORST_FIRST))
    for folder, counts in folders.items():
        yield form.format(folder, counts.total(), *(counts[each] for each in WORST_FIRST))
    times = spread([row.ms for row in rows if row.judged.regions])
    if times:
        stages = "attest, fit, predict and judge"
        yield f"{stages}: p50 {times.p50:.2f} ms, p99 {times.p99:.2f} ms, n {times.n}"


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    with path.open("wb") as file:
        file.write(HEAD)
        file.writelines(csv_line(row.values) for row in rows)
