"""The messages of today: what a consumer was promised stays as it is."""

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import get_args

import pytest
from pydantic import ValidationError

from inspector.contract.audit import AuditEntry
from inspector.contract.command import Command, Reply
from inspector.contract.consumer import (
    Acknowledgement,
    ConsumerReply,
    ReplayedResult,
    ReplayRequest,
    replayed,
    row_within,
)
from inspector.contract.echo import EchoMessage
from inspector.contract.examples import ENVELOPE
from inspector.contract.line import LineMessage
from inspector.contract.result import InspectionResult, LimitsUsed, PartRef, utc_text
from inspector.contract.shadow import ShadowMessage
from inspector.contract.signed import SignedCommand
from inspector.contract.status import AlarmMessage, Heartbeat, StateMessage
from inspector.contract.strict import Strict
from inspector.contract.topics import Place
from inspector.contract.trigger import TriggerMessage
from inspector.contract.verdict import EVALUATION_OF, Cause, Evaluation

DATA = Path(__file__).parent.parent / "data"


@pytest.mark.parametrize(
    ("model", "snapshot"),
    [
        (InspectionResult, "result-v3.json"),
        (StateMessage, "state-v4.json"),
        (AlarmMessage, "alarm-v2.json"),
        (Heartbeat, "heartbeat-v1.json"),
        (ShadowMessage, "shadow-v1.json"),
        (Command, "command-v3.json"),
        (Reply, "reply-v2.json"),
        (TriggerMessage, "trigger-v1.json"),
        (LineMessage, "line-v1.json"),
        (EchoMessage, "echo-v1.json"),
        (SignedCommand, "envelope-v2.json"),
        (AuditEntry, "audit-v1.json"),
        (Acknowledgement, "ack-v1.json"),
        (ReplayRequest, "replay-v1.json"),
        (ReplayedResult, "replayed-v1.json"),
        (ConsumerReply, "consumer-reply-v1.json"),
    ],
)
def test_the_schema_is_the_one_we_promised(model: type[Strict], snapshot: str) -> None:
    promised = json.loads((DATA / snapshot).read_text(encoding="utf-8"))
    assert model.model_json_schema(mode="serialization") == promised


def example(*, passed: bool, evaluation: str, **changes: object) -> InspectionResult:
    return InspectionResult.model_validate(
        {
            "result_id": "boot-1",
            "station": "s1",
            "boot": "boot",
            "seq": 1,
            "part": PartRef(id=None, sequence=1),
            "trigger": None,
            "deadline_ms": 500,
            "pass": passed,
            "evaluation": evaluation,
            "reason": "why",
            "cause": None if passed else "defect",
            "label": None,
            "score": None,
            "novelty": None,
            "late": False,
            "attestation": {"sharpness": 31.5},
            "regions": (),
            "limits": LimitsUsed(review_at=0.1, reject_at=0.2, novelty_at=None, source="bundle"),
            "recipe": "r",
            "bundle": "b",
            "captured_at": datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC),
            "times_ms": {"total": 1.5},
            "image": None,
            "simulated": False,
            **changes,
        }
    )


def test_a_result_survives_the_way_to_json_and_back() -> None:
    sent = example(passed=True, evaluation="OK")
    data = json.loads(sent.to_json())
    assert data["pass"] is True
    assert data["schema"] == 3
    assert data["captured_at"] == "2026-01-02T03:04:05.678Z"
    assert InspectionResult.model_validate_json(sent.to_json()).to_json() == sent.to_json()


@pytest.mark.parametrize("evaluation", ["NOT_OK", "NOT_DECIDABLE", "UNDEFINED"])
def test_no_message_can_say_pass_for_anything_but_ok(evaluation: str) -> None:
    with pytest.raises(ValidationError, match="pass is true for OK"):
        example(passed=True, evaluation=evaluation)
    with pytest.raises(ValidationError, match="pass is true for OK"):
        example(passed=False, evaluation="OK")


def test_what_is_late_cannot_say_pass() -> None:
    with pytest.raises(ValidationError, match="what is late does not pass"):
        example(passed=True, evaluation="OK", late=True)


@pytest.mark.parametrize(
    "figures",
    [
        {"sharpness": float("nan")},
        {"no name": 1.0},
        {f"figure_{i}": 1.0 for i in range(33)},
    ],
    ids=["not a number", "not a name", "too many"],
)
def test_figures_of_a_frame_are_few_named_and_finite(figures: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        example(passed=False, evaluation="UNDEFINED", attestation=figures)


def test_a_time_that_is_not_utc_is_refused() -> None:
    with pytest.raises(ValueError, match="not in UTC"):
        utc_text(datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=1))))


def test_a_replayed_row_keeps_its_every_byte() -> None:
    row = example(passed=True, evaluation="OK", score=0.00001, reason='a "result": }').to_json()
    sent = replayed("s1", "mes", "r-1", 1, row)
    assert row_within(sent) == row
    assert ReplayedResult.model_validate_json(sent).result.to_json() == row
    for spoilt in (row, sent[:-2], b"[]"):
        with pytest.raises(ValueError, match="not a replayed result"):
            row_within(spoilt)


@pytest.mark.parametrize(
    ("schema", "root"), [(1, "a/b"), (2, None), (2, "a/b\n"), (2, "a\nb"), (2, "a/#"), (3, "a/b")]
)
def test_an_envelope_says_its_topic_root_from_version_2_on_in_one_line(
    schema: int, root: str | None
) -> None:
    words = json.loads(ENVELOPE.to_json())
    assert SignedCommand.model_validate(words) == ENVELOPE
    with pytest.raises(ValidationError):
        SignedCommand.model_validate({**words, "schema": schema, "topic_root": root})


def test_topics_are_the_plants_path() -> None:
    place = Place.of("acme/berlin/hall1/line2", "s1")
    assert place.result == "acme/berlin/hall1/line2/s1/result"
    assert place.state == "acme/berlin/hall1/line2/s1/state"
    assert place.alarm == "acme/berlin/hall1/line2/s1/alarm"
    assert place.heartbeat == "acme/berlin/hall1/line2/s1/heartbeat"
    assert place.trigger == "acme/berlin/hall1/line2/s1/trigger"
    assert place.line == "acme/berlin/hall1/line2/s1/line"
    assert place.consumer("mes").ack == "acme/berlin/hall1/line2/s1/consumer/mes/ack"


@pytest.mark.parametrize(
    "words", [{"pass": True}, {"pass": True, "reject": False}, {"reject": False}]
)
def test_the_line_is_never_shown_pass_and_reject_nor_a_pass_that_is_no_verdict(
    words: dict[str, bool],
) -> None:
    with pytest.raises(ValidationError, match="pass"):
        LineMessage.model_validate({"station": "s1", "boot": "b", **words})
    shown = LineMessage.model_validate(
        {"station": "s1", "boot": "b", "pass": True, "reject": False, "done": True}
    )
    assert json.loads(shown.to_json())["pass"] is True


@pytest.mark.parametrize(("passed", "cause"), [(True, "late"), (False, None)])
def test_what_is_not_ok_says_why_in_one_word_and_what_is_ok_does_not(
    *, passed: bool, cause: str | None
) -> None:
    with pytest.raises(ValidationError, match="has a cause"):
        example(passed=passed, evaluation="OK" if passed else "NOT_OK", cause=cause)


def test_every_cause_has_its_evaluation_and_none_is_ok() -> None:
    assert set(EVALUATION_OF) == set(get_args(Cause))
    assert Evaluation.OK not in EVALUATION_OF.values()
