"""What the line's controller owes for a verdict, and what is a fault of it."""

import pytest

from inspector.contract.echo import EchoMessage, parse_echo
from inspector.contract.errors import CommandError
from inspector.station.echo import TOLD_MAX, Asked, Echoes
from inspector.station.ports import Part
from inspector.station.signal import Heard

ASKED = Asked(echo_max_ms=100, eject_max_ms=1_000)


def told(*verdicts: bool, asked: Asked = ASKED) -> Echoes:
    """Parts 1, 2, ... were told these verdicts, all at 10.0 s."""
    echoes = Echoes(asked)
    for number, passes in enumerate(verdicts, start=1):
        part = Part(number, f"P{number}", 9.9, trigger_id=f"T{number}")
        echoes.told(part, passes=passes, since=9.99, now=10.0)
    return echoes


def status(echoes: Echoes) -> dict[str, int]:
    assert echoes.status is not None
    counts = echoes.status.model_dump(exclude={"refused", "echo_ms"})
    return {name: count for name, count in counts.items() if count}


def test_a_verdict_that_is_echoed_in_time_owes_nothing_and_is_timed() -> None:
    echoes = told(True)
    echoes.take(Heard(1, passed=True, at=10.02, part_id="P1", trigger_id="T1"))
    assert not echoes.owed
    echoes.overdue(99.0)
    assert echoes.fault is None
    assert status(echoes) == {"echoes": 1}
    assert echoes.status is not None
    assert echoes.status.echo_ms is not None
    assert echoes.status.echo_ms.p50 == pytest.approx(30.0)


def test_an_echo_that_is_missing_is_a_fault_once_its_time_is_over() -> None:
    echoes = told(True, True)
    echoes.take(Heard(2, passed=True, at=10.0))
    echoes.overdue(10.099)
    assert echoes.fault is None
    echoes.overdue(10.1)
    assert echoes.fault == "line controller: no echo within 100 ms: part 1 (P1), told pass"
    assert status(echoes) == {"echoes": 1, "missing": 1}


def test_a_rejected_part_must_be_seen_to_leave_and_a_passed_one_not() -> None:
    echoes = told(False, True, False)
    for number, passed in ((1, False), (2, True), (3, False)):
        echoes.take(Heard(number, passed=passed, at=10.0))
    echoes.take(Heard(1, passed=False, at=10.5, ejected=True))
    echoes.overdue(10.99)
    assert echoes.fault is None
    echoes.overdue(11.0)
    assert echoes.fault == (
        "line controller: not seen to leave within 1000 ms: part 3 (P3), told reject"
    )
    assert status(echoes) == {"echoes": 3, "ejected": 1, "not_ejected": 1}


def test_who_has_seen_a_part_leave_has_acted_on_its_verdict() -> None:
    echoes = told(False)
    echoes.take(Heard(1, passed=False, at=10.05, ejected=True))
    assert not echoes.owed
    assert status(echoes) == {"echoes": 1, "ejected": 1}


@pytest.mark.parametrize(
    ("heard", "words"),
    [
        (Heard(1, passed=True, at=10.0), "it acted on pass for part 1 (P1), told reject"),
        (Heard(2, passed=False, at=10.0), "it acted on reject for part 2 (P2), told pass"),
        (
            Heard(2, passed=False, at=10.0, ejected=True),
            "it acted on reject for part 2 (P2), told pass",
        ),
        (Heard(3, passed=True, at=10.0), "it passed part 3, of which nothing was told"),
        (
            Heard(2, passed=True, at=10.0, part_id="P1"),
            "it acted on pass for P1, of part 2 (P2), told pass",
        ),
        (
            Heard(2, passed=True, at=10.0, trigger_id="T1"),
            "it acted on pass for T1, of part 2 (P2), told pass",
        ),
    ],
)
def test_a_controller_that_acted_on_something_else_is_a_fault_at_once(
    heard: Heard, words: str
) -> None:
    echoes = told(False, True)
    echoes.take(heard)
    assert echoes.fault == f"line controller: {words}"
    assert status(echoes) == {"mismatches": 1}


def test_a_wrong_echo_is_known_after_a_right_one_and_after_a_reset() -> None:
    echoes = told(False)
    echoes.take(Heard(1, passed=False, at=10.0, ejected=True))
    echoes.forget()
    echoes.take(Heard(1, passed=True, at=20.0))
    assert echoes.fault is not None
    assert status(echoes)["mismatches"] == 1


def test_what_a_part_without_a_verdict_was_rejected_by_is_no_fault() -> None:
    echoes = told(True)
    echoes.take(Heard(7, passed=False, at=10.0))
    echoes.take("retained")
    assert echoes.fault is None
    assert echoes.status is not None
    assert echoes.status.refused == {"unasked": 1, "retained": 1}
    assert echoes.owed


def test_an_echo_that_came_twice_counts_once() -> None:
    echoes = told(True)
    for _ in range(3):
        echoes.take(Heard(1, passed=True, at=10.01))
    assert status(echoes) == {"echoes": 1}


def test_after_a_fault_nothing_more_is_owed() -> None:
    echoes = told(True, False)
    echoes.forget()
    echoes.overdue(99.0)
    assert echoes.fault is None
    assert not echoes.owed


def test_where_nothing_is_asked_nothing_is_owed() -> None:
    echoes = told(True, False, asked=Asked())
    assert not echoes.owed
    assert echoes.status is None
    confirmed = told(True, False, asked=Asked(eject_max_ms=1_000))
    confirmed.overdue(10.9)
    assert confirmed.fault is None


def test_verdicts_are_remembered_with_a_limit_and_none_owed_is_forgotten_silently() -> None:
    echoes = told(*[False] * (TOLD_MAX + 1))
    assert echoes.fault is not None
    assert "no word about part 1" in echoes.fault


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"boot": "b", "sequence": 1, "verdict": "maybe"}', "verdict"),
        ('{"boot": "b", "sequence": 1, "verdict": "pass", "ejected": true}', "is not ejected"),
        ('{"boot": "b", "sequence": "1", "verdict": "pass"}', "sequence"),
        ('{"boot": "b", "sequence": 1, "verdict": "pass", "ejected": 0}', "ejected"),
        ('{"sequence": 1, "verdict": "pass"}', "boot: is missing"),
        ('{"boot": "b", "sequence": 1, "verdict": "pass", "seq": 1}', "is not a key here"),
        ('{"boot": "b", "sequence": 1, "sequence": 2, "verdict": "pass"}', "a key twice"),
    ],
)
def test_an_echo_is_read_strictly(text: str, words: str) -> None:
    with pytest.raises(CommandError, match=words):
        parse_echo(text.encode())
    good = EchoMessage(boot="b", sequence=1, verdict="reject", ejected=True, part="P 1")
    assert parse_echo(good.to_json()) == good
