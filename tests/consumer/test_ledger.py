"""Order, gaps and duplicates, whatever the network does to the rows."""

import random

import pytest

from inspector.consumer.ledger import ASK_MAX, ASKED_IN_VAIN_MAX, Gap, Ledger, Row


def row(seq: int, *, result_id: str | None = None, text: str = "") -> Row:
    name = result_id or f"boot-{seq}"
    return Row("s1", seq, name, f"{seq}{text}".encode(), {"seq": seq, "result_id": name})


def seqs(rows: list[Row]) -> list[int]:
    return [each.seq for each in rows]


def test_rows_in_order_leave_at_once() -> None:
    ledger = Ledger(None)
    assert [seqs(ledger.take(row(seq))) for seq in (1, 2, 3)] == [[1], [2], [3]]
    assert ledger.missing() is None


@pytest.mark.parametrize("seed", range(20))
def test_shuffled_doubled_rows_leave_in_order_and_once(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - a shuffle, not a secret
    sent = [row(seq) for seq in range(1, 201)] * 2
    chance.shuffle(sent)
    ledger = Ledger(0)
    out = [seq for each in sent for seq in seqs(ledger.take(each))]
    assert out == list(range(1, 201))
    assert (ledger.duplicates, ledger.differing, ledger.gaps) == (200, [], [])


def test_a_hole_is_asked_for_and_what_came_after_waits() -> None:
    ledger = Ledger(4)
    assert ledger.take(row(8)) == []
    assert ledger.out_of_order
    assert ledger.missing() == Gap(5, 7)
    assert seqs(ledger.take(row(5))) == [5]
    assert ledger.missing() == Gap(6, 7)
    assert seqs(ledger.take(row(6)) + ledger.take(row(7))) == [6, 7, 8]
    assert ledger.missing() is None


def test_rows_the_station_speaks_of_are_missing_too_and_asked_for_in_portions() -> None:
    ledger = Ledger(4)
    ledger.told(9)
    assert ledger.missing() == Gap(5, 9)
    assert not ledger.out_of_order
    ledger.told(10**6)
    assert ledger.missing() == Gap(5, 4 + ASK_MAX)


def test_rows_that_are_gone_become_a_gap_and_the_rest_goes_on() -> None:
    ledger = Ledger(4)
    ledger.take(row(8))
    assert seqs(ledger.gone(8)) == [8]
    assert ledger.gaps == [Gap(5, 7)]
    assert ledger.next == 9


def test_rows_that_have_come_are_stored_though_their_station_has_let_them_go_since() -> None:
    ledger = Ledger(4)
    for seq in (7, 8, 10):
        assert ledger.take(row(seq)) == []
    assert seqs(ledger.gone(12)) == [7, 8, 10]
    assert ledger.gaps == [Gap(5, 6), Gap(9, 9), Gap(11, 11)]
    assert ledger.take(row(14)) == []
    assert seqs(ledger.gone(None)) == [14]
    assert ledger.gaps[3:] == [Gap(12, 13)]
    assert (ledger.rows, ledger.next) == (4, 15)


def test_what_is_older_than_the_first_row_ever_seen_is_no_gap() -> None:
    ledger = Ledger(None)
    ledger.take(row(51))
    assert ledger.missing() == Gap(1, 50)
    assert seqs(ledger.gone(50)) == []
    assert seqs(ledger.take(row(50))) == [50, 51]
    assert ledger.gaps == []


def test_a_row_that_replays_never_bring_is_given_up_at_last() -> None:
    ledger = Ledger(4)
    ledger.take(row(6))
    for _ in range(ASKED_IN_VAIN_MAX - 1):
        assert ledger.asked_in_vain() == []
    assert seqs(ledger.asked_in_vain()) == [6]
    assert ledger.gaps == [Gap(5, 5)]


@pytest.mark.parametrize(
    "other",
    [row(3, text="changed"), row(3, result_id="other-3"), row(9, result_id="boot-3")],
    ids=["another content", "another result_id", "another number"],
)
def test_one_number_or_name_with_two_contents_is_told(other: Row) -> None:
    ledger = Ledger(0)
    for seq in (1, 2, 3):
        ledger.take(row(seq))
    ledger.take(other)
    assert len(ledger.differing) == 1


def test_a_result_whose_name_another_row_has_is_not_stored_and_its_number_is_asked_for() -> None:
    ledger = Ledger(0)
    ledger.take(row(1))
    assert ledger.take(row(2, result_id="boot-1")) == []
    assert ledger.missing() == Gap(2, 2)
    assert seqs(ledger.take(row(2))) == [2]
    assert len(ledger.differing) == 1


def test_a_result_whose_name_is_stored_since_before_the_start_is_given_up_like_one_never_sent() -> (
    None
):
    ledger = Ledger(4, stored_as={"boot-2": 2, "boot-6": 6}.get)
    assert ledger.take(row(5, result_id="boot-2")) == []
    assert ledger.differing == ["result boot-2: as row 2, then as row 5"]
    assert seqs(ledger.take(row(6))) == [], "another process has stored it as this row: no clash"
    assert ledger.missing() == Gap(5, 5)
    for _ in range(ASKED_IN_VAIN_MAX):
        assert ledger.gaps == []
        ledger.take(row(5, result_id="boot-2"))
        ready = ledger.asked_in_vain()
    assert (seqs(ready), ledger.gaps) == ([6], [Gap(5, 5)])
    assert len(ledger.differing) == 1


def test_a_row_ahead_of_all_the_station_has_sent_keeps_no_missing_one_from_coming() -> None:
    ledger = Ledger(4)
    ledger.take(row(2**62))
    ledger.take(row(7))
    ledger.corrected(7)  # to a request for 5 to 10,004
    assert ledger.missing() == Gap(5, 6)
    assert seqs(ledger.take(row(5)) + ledger.take(row(6))) == [5, 6, 7]
    assert (ledger.missing(), ledger.gaps) == (None, [])


def test_a_row_that_was_withdrawn_is_taken_when_it_comes_again() -> None:
    ledger = Ledger(4)
    ledger.take(row(6))
    ledger.corrected(5)  # said before 6 was sent, and came after it
    assert seqs(ledger.take(row(5)) + ledger.take(row(6))) == [5, 6]
    assert (ledger.duplicates, ledger.differing) == (0, [])


@pytest.mark.parametrize("begun", [True, False])
def test_rows_no_replay_brings_readably_are_given_up_together_and_none_that_waits(
    begun: bool,  # noqa: FBT001
) -> None:
    ledger = Ledger(4 if begun else None)
    if not begun:
        ledger.gone(5)
    ledger.take(row(9))
    for seq in (5, 6, 7, 8, 9, 2**62, None):
        ledger.unreadable(seq)
    for _ in range(ASKED_IN_VAIN_MAX - 1):
        assert ledger.asked_in_vain() == []
    assert seqs(ledger.asked_in_vain()) == [9]
    assert ledger.gaps == [Gap(5, 8)]
