"""Every metric of the edge node and its device, and where its value comes from.

Names are a contract with the host's tags; aliases hold from one birth to the next.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, get_args

from inspector.contract.verdict import Evaluation
from inspector.delivery.sparkplug_payload import DataType, Definition, Sample, Value, numbered
from inspector.delivery.sparkplug_settings import Control
from inspector.station.attest_rule import FIGURES

Row = Mapping[str, Any]
"""A result or a state as JSON; of any schema version, since a row may be older than this program.
"""
Source = Callable[[Row], Value]

FLAG, REAL, SMALL, COUNT, TEXT, TIME = (
    DataType.BOOLEAN,
    DataType.DOUBLE,
    DataType.INT32,
    DataType.INT64,
    DataType.STRING,
    DataType.DATETIME,
)
_FIRST_PART, _FIRST_STATION, _FIRST_CONTROL, _FIRST_COMMAND = 100, 200, 300, 320
_STAGES = ("wait", "attest", "fit", "predict", "judge", "total")
_VERDICTS = ("OK", "NOT_OK", "NOT_DECIDABLE", "UNDEFINED")


def _at(*keys: str) -> Source:
    """The value below these keys; None where there is none."""

    def find(row: Row) -> Value:
        found: Any = row
        for key in keys:
            found = found.get(key) if isinstance(found, Mapping) else None
        return found if isinstance(found, (bool, int, float, str)) else None

    return find


def _count(*keys: str) -> Source:
    find = _at(*keys)
    return lambda row: find(row) or 0


def _time(key: str) -> Source:
    return lambda row: time_ms(row.get(key))


def _evaluation(row: Row) -> Value:
    return Evaluation[row["evaluation"]].value if row.get("evaluation") in _VERDICTS else None


def _yield(row: Row) -> Value:
    """Of all parts with a verdict, those that passed."""
    verdicts = row.get("tally", {}).get("verdicts", {})
    total = sum(verdicts.values())
    return 100.0 * verdicts.get("OK", 0) / total if total else None


def _line_stop(row: Row) -> Value:
    return bool(row.get("line_stop"))


def _alarms(row: Row) -> Value:
    return "; ".join(f"{each['kind']}: {each['cause']}" for each in row.get("alarms", ())) or None


_PART: tuple[tuple[Definition, Source], ...] = (
    (Definition("Part/Verdict", TEXT), _at("evaluation")),
    (Definition("Part/Evaluation", SMALL, low=0, high=3), _evaluation),
    (Definition("Part/Pass", FLAG), _at("pass")),
    (Definition("Part/Reason", TEXT), _at("reason")),
    (Definition("Part/Label", TEXT), _at("label")),
    (Definition("Part/Score", REAL, low=0.0, high=1.0), _at("score")),
    (Definition("Part/Novelty", REAL, low=0.0), _at("novelty")),
    (Definition("Part/Late", FLAG), _at("late")),
    (Definition("Part/ID", TEXT), _at("part", "id")),
    (Definition("Part/Sequence", COUNT), _at("part", "sequence")),
    (Definition("Part/Journal Seq", COUNT), _at("seq")),
    (Definition("Part/Result ID", TEXT), _at("result_id")),
    (Definition("Part/Boot", TEXT), _at("boot")),
    (Definition("Part/Captured At", TIME), _time("captured_at")),
    (Definition("Part/Image", TEXT), _at("image")),
    (Definition("Part/Simulated", FLAG), _at("simulated")),
    (Definition("Part/Regions", SMALL), lambda row: len(row.get("regions") or ())),
    (Definition("Part/Recipe", TEXT), _at("recipe")),
    (Definition("Part/Bundle", TEXT), _at("bundle")),
    (Definition("Limits/Review At", REAL, low=0.0, high=1.0), _at("limits", "review_at")),
    (Definition("Limits/Reject At", REAL, low=0.0, high=1.0), _at("limits", "reject_at")),
    (Definition("Limits/Novelty At", REAL, low=0.0), _at("limits", "novelty_at")),
    (Definition("Limits/Source", TEXT), _at("limits", "source")),
    *((Definition(f"Times/{n.title()}", REAL, "ms", 0.0), _at("times_ms", n)) for n in _STAGES),
    *(
        (
            Definition(f"Frame/{n.replace('_', ' ').title()}", REAL, "px" if "px" in n else None),
            _at("attestation", n),
        )
        for n in FIGURES
    ),
)
_STATION: tuple[tuple[Definition, Source], ...] = (
    (Definition("Station/State", TEXT), _at("state")),
    (Definition("Station/Cause", TEXT), _at("cause")),
    (Definition("Station/Withheld", TEXT), _at("withheld")),
    (Definition("Station/Since", TIME), _time("since")),
    (Definition("Station/Recipe", TEXT), _at("recipe")),
    (Definition("Station/Bundle", TEXT), _at("bundle")),
    (Definition("Counts/Triggers", COUNT), _count("tally", "triggers")),
    *(
        (Definition(f"Counts/{name}", COUNT), _count("tally", "verdicts", name))
        for name in _VERDICTS
    ),
    (Definition("Counts/Yield", REAL, "%", 0.0, 100.0), _yield),
    (Definition("Counts/Late", COUNT), _count("tally", "late")),
    (Definition("Counts/Unrecorded", COUNT), _count("tally", "unrecorded")),
    (Definition("Counts/Triggers Missed", COUNT), _count("tally", "triggers_missed")),
    (Definition("Counts/Unjudged In A Row", COUNT), _count("tally", "unjudged_in_a_row")),
    (Definition("Counts/Line Stops", COUNT), _count("tally", "line_stops")),
    (Definition("Counts/Images Dropped", COUNT), _count("tally", "images_dropped")),
    (
        Definition("Times/Trigger To Verdict P50", REAL, "ms", 0.0),
        _at("tally", "trigger_to_verdict_ms", "p50"),
    ),
    (
        Definition("Times/Trigger To Verdict P99", REAL, "ms", 0.0),
        _at("tally", "trigger_to_verdict_ms", "p99"),
    ),
    (Definition("Alarm/Line Stop", FLAG), _line_stop),
    (Definition("Alarm/Cause", TEXT), _alarms),
)


class Group:
    """Metrics whose values come from one JSON object."""

    def __init__(self, first: int, table: Sequence[tuple[Definition, Source]]) -> None:
        self.definitions = numbered(first, [of for of, _ in table])
        self._sources = tuple(source for _, source in table)

    def samples(self, row: Row | None, at_ms: int) -> list[Sample]:
        """Every metric; null where there is no object yet."""
        if row is None:
            return [Sample(of, None, at_ms) for of in self.definitions]
        pairs = zip(self.definitions, self._sources, strict=True)
        return [Sample(of, source(row), at_ms) for of, source in pairs]


PART = Group(_FIRST_PART, _PART)
STATION = Group(_FIRST_STATION, _STATION)

BIRTH_NUMBER, VERSION, STATION_NAME, BOOT, SENT_SEQ, WAITING, MISSING, REFUSED = NODE = numbered(
    1,
    [
        Definition("bdSeq", COUNT, low=0, high=255),
        Definition("Properties/Program Version", TEXT),
        Definition("Properties/Station", TEXT),
        Definition("Properties/Boot", TEXT),
        Definition("Delivery/Sent Seq", COUNT),
        Definition("Delivery/Waiting", COUNT, low=0),
        Definition("Delivery/Missing", COUNT, low=0),
        Definition("Delivery/Messages Refused", COUNT, low=0),
    ],
)
REBIRTH = Definition("Node Control/Rebirth", FLAG, writable=True)
"""Without an alias, so that a host may write it that knows nothing of us yet."""
DEATH_NUMBER = replace(BIRTH_NUMBER, alias=None)

_CONTROL_NAMES: tuple[Control, ...] = get_args(Control)
_CONTROLS: dict[Control, Definition] = dict(
    zip(
        _CONTROL_NAMES,
        numbered(
            _FIRST_CONTROL,
            [
                # to trigger, the part's id is written
                Definition(
                    f"Device Control/{n.title()}", TEXT if n == "trigger" else FLAG, writable=True
                )
                for n in _CONTROL_NAMES
            ],
        ),
        strict=True,
    )
)
COMMAND = numbered(
    _FIRST_COMMAND,
    [
        Definition("Command/Action", TEXT),
        Definition("Command/Outcome", TEXT),
        Definition("Command/Reason", TEXT),
        Definition("Command/Done", COUNT, low=0),
        Definition("Command/Refused", COUNT, low=0),
    ],
)


def controls(allowed: Sequence[Control]) -> dict[Control, Definition]:
    """What a host may write to the device."""
    return {name: _CONTROLS[name] for name in allowed}


def resting(control: Definition, at_ms: int) -> Sample:
    """A control's value while nothing is asked for."""
    return Sample(control, False if control.datatype is FLAG else None, at_ms)


def time_ms(text: object) -> int | None:
    """Milliseconds since 1970 of a message's time; None where it has none."""
    if not isinstance(text, str):
        return None
    try:
        return round(datetime.fromisoformat(text).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None
