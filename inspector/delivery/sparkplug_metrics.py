"""Every metric of the edge node and its device, and where its value comes from.

Names are a contract with the host's tags; aliases hold from one birth to the next.
"""

from collections.abc import Callable, Mapping, Sequence
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
    (Definition("Part/Verdict", TEXT, None), _at("evaluation")),
    (Definition("Part/Evaluation", SMALL, None, low=0, high=3), _evaluation),
    (Definition("Part/Pass", FLAG, None), _at("pass")),
    (Definition("Part/Reason", TEXT, None), _at("reason")),
    (Definition("Part/Label", TEXT, None), _at("label")),
    (Definition("Part/Score", REAL, None, low=0.0, high=1.0), _at("score")),
    (Definition("Part/Novelty", REAL, None, low=0.0), _at("novelty")),
    (Definition("Part/Late", FLAG, None), _at("late")),
    (Definition("Part/ID", TEXT, None), _at("part", "id")),
    (Definition("Part/Sequence", COUNT, None), _at("part", "sequence")),
    (Definition("Part/Journal Seq", COUNT, None), _at("seq")),
    (Definition("Part/Result ID", TEXT, None), _at("result_id")),
    (Definition("Part/Boot", TEXT, None), _at("boot")),
    (Definition("Part/Captured At", TIME, None), _time("captured_at")),
    (Definition("Part/Image", TEXT, None), _at("image")),
    (Definition("Part/Simulated", FLAG, None), _at("simulated")),
    (Definition("Part/Regions", SMALL, None), lambda row: len(row.get("regions") or ())),
    (Definition("Part/Recipe", TEXT, None), _at("recipe")),
    (Definition("Part/Bundle", TEXT, None), _at("bundle")),
    (Definition("Limits/Review At", REAL, None, low=0.0, high=1.0), _at("limits", "review_at")),
    (Definition("Limits/Reject At", REAL, None, low=0.0, high=1.0), _at("limits", "reject_at")),
    (Definition("Limits/Novelty At", REAL, None, low=0.0), _at("limits", "novelty_at")),
    (Definition("Limits/Source", TEXT, None), _at("limits", "source")),
    *(
        (Definition(f"Times/{n.title()}", REAL, None, "ms", 0.0), _at("times_ms", n))
        for n in _STAGES
    ),
    *(
        (
            Definition(
                f"Frame/{n.replace('_', ' ').title()}", REAL, None, "px" if "px" in n else None
            ),
            _at("attestation", n),
        )
        for n in FIGURES
    ),
)
_STATION: tuple[tuple[Definition, Source], ...] = (
    (Definition("Station/State", TEXT, None), _at("state")),
    (Definition("Station/Cause", TEXT, None), _at("cause")),
    (Definition("Station/Withheld", TEXT, None), _at("withheld")),
    (Definition("Station/Since", TIME, None), _time("since")),
    (Definition("Station/Recipe", TEXT, None), _at("recipe")),
    (Definition("Station/Bundle", TEXT, None), _at("bundle")),
    (Definition("Counts/Triggers", COUNT, None), _count("tally", "triggers")),
    *(
        (Definition(f"Counts/{name}", COUNT, None), _count("tally", "verdicts", name))
        for name in _VERDICTS
    ),
    (Definition("Counts/Yield", REAL, None, "%", 0.0, 100.0), _yield),
    (Definition("Counts/Late", COUNT, None), _count("tally", "late")),
    (Definition("Counts/Unrecorded", COUNT, None), _count("tally", "unrecorded")),
    (Definition("Counts/Triggers Missed", COUNT, None), _count("tally", "triggers_missed")),
    (Definition("Counts/Unjudged In A Row", COUNT, None), _count("tally", "unjudged_in_a_row")),
    (Definition("Counts/Line Stops", COUNT, None), _count("tally", "line_stops")),
    (Definition("Counts/Images Dropped", COUNT, None), _count("tally", "images_dropped")),
    (
        Definition("Times/Trigger To Verdict P50", REAL, None, "ms", 0.0),
        _at("tally", "trigger_to_verdict_ms", "p50"),
    ),
    (
        Definition("Times/Trigger To Verdict P99", REAL, None, "ms", 0.0),
        _at("tally", "trigger_to_verdict_ms", "p99"),
    ),
    (Definition("Alarm/Line Stop", FLAG, None), _line_stop),
    (Definition("Alarm/Cause", TEXT, None), _alarms),
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
        Definition("bdSeq", COUNT, None, low=0, high=255),
        Definition("Properties/Program Version", TEXT, None),
        Definition("Properties/Station", TEXT, None),
        Definition("Properties/Boot", TEXT, None),
        Definition("Delivery/Sent Seq", COUNT, None),
        Definition("Delivery/Waiting", COUNT, None, low=0),
        Definition("Delivery/Missing", COUNT, None, low=0),
        Definition("Delivery/Messages Refused", COUNT, None, low=0),
    ],
)
REBIRTH = Definition("Node Control/Rebirth", FLAG, None, writable=True)
"""Without an alias, so that a host may write it that knows nothing of us yet."""
DEATH_NUMBER = Definition(BIRTH_NUMBER.name, BIRTH_NUMBER.datatype, None)

_CONTROLS = dict(
    zip(
        get_args(Control),
        numbered(
            _FIRST_CONTROL,
            [
                Definition(
                    f"Device Control/{name.title()}",
                    TEXT if name == "trigger" else FLAG,  # what is written is the part's id
                    None,
                    writable=True,
                )
                for name in get_args(Control)
            ],
        ),
        strict=True,
    )
)
COMMAND_ACTION, COMMAND_OUTCOME, COMMAND_REASON, COMMANDS_DONE, COMMANDS_REFUSED = COMMAND = (
    numbered(
        _FIRST_COMMAND,
        [
            Definition("Command/Action", TEXT, None),
            Definition("Command/Outcome", TEXT, None),
            Definition("Command/Reason", TEXT, None),
            Definition("Command/Done", COUNT, None, low=0),
            Definition("Command/Refused", COUNT, None, low=0),
        ],
    )
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
