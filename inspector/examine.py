"""`inspector journal`: what a journal holds, beside the station that writes it.

Read-only, a page of rows at a time: no long transaction that would keep the station's -wal file
from being emptied. A last row that the station has not settled yet is left out: nobody may see
an OK that may still be withdrawn.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import ValidationError

from inspector.contract.errors import ConfigError, RecordError
from inspector.contract.result import InspectionResult, part_called, row_of
from inspector.contract.table import COLUMNS, cells, csv_line
from inspector.delivery.cursors import cursors_path, read_cursors
from inspector.delivery.reader import JournalReader

PAGE_ROWS = 500
REASONS_SHOWN = 20
EXAMPLE_MAX = 100
OF_A_CLASS = ("defect", "review")
"""Causes that say little without the label."""
FAULTS_SHOWN = 20
NEEDED = ("evaluation", "reason", "boot", "result_id")
SCHEMA = InspectionResult.model_fields["schema_version"].default


def journal_path(named: Path) -> Path:
    """Of the journal itself, or of the station whose settings are named.

    Raises ConfigError where there is none.
    """
    path = named
    if named.suffix == ".toml":
        # only here: it loads every device's library
        from inspector.settings import read_settings

        path = read_settings(named).journal.path
    if not path.exists():
        raise ConfigError(f"journal {path}: there is no such file; a station makes it at its start")
    if path.is_dir():
        raise ConfigError(f"journal {path}: is a folder: name journal.db in it, or station.toml")
    return path


@dataclass(frozen=True, slots=True)
class Filter:
    """What is left out stands for everything. Times are those of the frame, UTC.

    A part of which no frame came has no time of its own: it stands where its row stands. To leave
    it out would hide that it was rejected.
    """

    since: datetime | None = None
    until: datetime | None = None
    part: str | None = None
    evaluation: str | None = None

    def takes(self, result: dict[str, Any], at: datetime | None) -> bool:
        """at: of its frame, or of the last one before it; None where there was none."""
        if self.evaluation is not None and result.get("evaluation") != self.evaluation:
            return False
        if self.part is not None and part_called(result) != self.part.strip():
            return False
        if self.since is not None and (at is None or at < self.since):
            return False
        return self.until is None or at is None or at < self.until


def payloads(path: Path, after: int = 0) -> Iterator[tuple[int, bytes]]:
    """Every settled row behind `after`, in order. Raises RecordError, ConfigError."""
    with JournalReader(path) as reader:
        end = reader.settled_seq()
        seq = after
        while rows := reader.after(seq, PAGE_ROWS):
            for seq, payload in rows:
                if seq > end:
                    return
                yield seq, payload


def last_settled(path: Path) -> int:
    """The number of the newest row that anybody may see. Raises RecordError, ConfigError."""
    with JournalReader(path) as reader:
        return reader.settled_seq()


def rows(
    path: Path, wanted: Filter, after: int = 0, spoilt: Callable[[str], None] | None = None
) -> Iterator[tuple[int, bytes, dict[str, Any]]]:
    """spoilt: told of each that cannot be read, and is left out; `verify` finds them all. Without
    it the first raises RecordError.
    """
    at: datetime | None = None
    for seq, payload in payloads(path, after):
        try:
            result: dict[str, Any] = json.loads(payload)
            if result.get("captured_at") is not None:
                at = datetime.fromisoformat(result["captured_at"])
            takes = wanted.takes(result, at) and all(result[name] is not None for name in NEEDED)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            words = f"journal {path}: row {seq} is no result: {error!r}"
            if spoilt is None:
                raise RecordError(words) from None
            spoilt(words)
            continue
        if takes:
            yield seq, payload, result


def info(path: Path, spoilt: Callable[[str], None]) -> Iterator[str]:
    """Counts, range, size and cursors, a line each. spoilt: as of `rows`."""
    evaluations: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    examples: dict[str, str] = {}
    boots: set[str] = set()
    first: tuple[int, Any] | None = None
    last: tuple[int, Any] | None = None
    for seq, _, result in rows(path, Filter(), spoilt=spoilt):
        last = (seq, result.get("captured_at"))
        first = first or last
        evaluations[result["evaluation"]] += 1
        if result["evaluation"] != "OK":
            why = _why(result)
            reasons[why] += 1
            examples.setdefault(why, result["reason"][:EXAMPLE_MAX])
        boots.add(result["boot"])
    files = [path, path.with_name(path.name + "-wal"), cursors_path(path)]
    size = sum(each.stat().st_size for each in files if each.exists())
    yield f"{path}: {evaluations.total()} results of {len(boots)} boots, {size / 1e6:.1f} MB"
    if first is None or last is None:
        return
    yield f"from {first[0]} ({first[1]}) to {last[0]} ({last[1]})"
    for evaluation, count in evaluations.most_common():
        yield f"  {count:>9} {evaluation}"
    for why, count in reasons.most_common(REASONS_SHOWN):
        yield f"  {count:>9} {why}; first: {examples[why]}"
    if len(reasons) > REASONS_SHOWN:
        yield f"            and {len(reasons) - REASONS_SHOWN} reasons more"
    yield from _cursors(path, first[0], last[0])


def _cursors(path: Path, first: int, last: int) -> Iterator[str]:
    with JournalReader(path) as reader:
        for name, seq in read_cursors(path).items():
            waits_s = reader.waits_s(seq)
            waiting = f"{last - seq} wait, the oldest for {waits_s:.0f} s" if seq < last else "all"
            lost = f"; {seq + 1} to {first - 1} are gone" if seq < first - 1 else ""
            what = "the broker" if name == "courier" else f"consumer {name}"
            yield f"{what} has acknowledged up to {seq}: {waiting}{lost}"


def show(
    path: Path, named: str, note: Callable[[str], None], spoilt: Callable[[str], None]
) -> Iterator[str]:
    """The row of this number, or every row of the part of this id. Raises ConfigError, RecordError.

    note: told where a number may have been meant as a part's id. spoilt: as of `rows`.
    """
    number = int(named) if re.fullmatch(r"[0-9]{1,18}", named) else None
    with JournalReader(path) as reader:
        settled = number is not None and number <= reader.settled_seq()
        row = reader.row(number) if number is not None and settled else None
    if row is None:
        yield from show_part(path, named, spoilt)
        return
    result = row_of(row)
    if result is None:
        raise RecordError(f"journal {path}: row {number} is no result: it begins {row[:100]!r}")
    yield json.dumps(result, indent=2, ensure_ascii=False)
    part = part_called(result)
    if part != named:
        note(f"row {number}, which is of part {part}; a part whose id is {named}: --part {named}")


def show_part(path: Path, part: str, spoilt: Callable[[str], None]) -> Iterator[str]:
    """Every row of the part of this id. Raises ConfigError where there is none. spoilt: as of
    `rows`."""
    found = False
    for _, _, result in rows(path, Filter(part=part), spoilt=spoilt):
        found = True
        yield json.dumps(result, indent=2, ensure_ascii=False)
    if not found:
        raise ConfigError(f"{path}: has no row {part} and no part of that id")


def export(
    path: Path, form: str, out: BinaryIO, wanted: Filter, spoilt: Callable[[str], None]
) -> int:
    """Write the rows that are wanted; how many they were. Raises ConfigError, RecordError.

    spoilt: as of `rows`.
    """
    count = 0
    if form == "parquet":
        # only here: it is large, and an extra
        from inspector.parquet import ParquetFile

        with ParquetFile(out) as table:
            for _, payload, result in rows(path, wanted, spoilt=spoilt):
                table.add(cells(result), payload)
                count += 1
        return count
    if form == "csv":
        out.write(csv_line(COLUMNS))
    for _, payload, result in rows(path, wanted, spoilt=spoilt):
        out.write(csv_line(cells(result).values()) if form == "csv" else payload + b"\n")
        count += 1
    return count


def verify(path: Path) -> Generator[str, None, int]:
    """The first faults in words, then a line that sums up; returns how many there are.

    Raises RecordError where the file is damaged.
    """
    count = faults = old = 0
    before: int | None = None
    ids: set[str] = set()
    for seq, payload in payloads(path):
        result, found = _checked(payload)
        old += result.get("schema") not in (SCHEMA, None)
        found += _out_of_place(seq, before, result, ids)
        for words in found[: max(0, FAULTS_SHOWN - faults)]:
            yield f"FAULT row {seq}: {words}"
        faults += len(found)
        count += 1
        before = seq
    if faults > FAULTS_SHOWN:
        yield f"FAULT and {faults - FAULTS_SHOWN} more"
    note = f" ({old} of an older schema: read, but not checked by it)" if old else ""
    yield f"{path}: {count} rows{note}, {faults} faults"
    return faults


def _checked(payload: bytes) -> tuple[dict[str, Any], list[str]]:
    """The row as read, empty where it cannot be, and what is wrong with it by its schema."""
    try:
        result: dict[str, Any] = json.loads(payload)
        if result["schema"] == SCHEMA:
            InspectionResult.model_validate(result)
    except ValidationError as error:
        fault = error.errors()[0]
        return result, [" ".join((*map(str, fault["loc"]), fault["msg"]))]
    except (ValueError, KeyError, TypeError) as error:
        return {}, [f"is no result: {error!r}"]
    return result, []


def _out_of_place(
    seq: int, before: int | None, result: dict[str, Any], ids: set[str]
) -> Iterator[str]:
    """What is wrong with it among the others."""
    if before is not None and seq != before + 1:
        yield f"rows {before + 1} to {seq - 1} before it are missing"
    if result.get("seq", seq) != seq:
        yield f"says that it is row {result['seq']}"
    result_id = result.get("result_id")
    if result_id in ids:
        yield f"its result_id {result_id} came before"
    if result_id is not None:
        ids.add(result_id)


def _why(result: dict[str, Any]) -> str:
    """What rows are counted by: evaluation, cause, and the class of a defect.

    Rows of before schema 3 have no cause: then the reason without its figures.
    """
    cause, label = result.get("cause"), result.get("label")
    if cause is None:
        kind = re.sub(r"[0-9]+(\.[0-9]+)?", "#", result["reason"].split("; judged")[0])
        return f"{result['evaluation']}: {kind[:EXAMPLE_MAX]}"
    of = f" {label}" if cause in OF_A_CLASS and label else ""
    return f"{result['evaluation']} {cause}{of}"
