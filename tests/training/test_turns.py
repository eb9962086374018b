"""Models are timed in turns of several rounds each, as a station finds its caches."""

import time

import pytest

from training.turns import TURN, in_turns


def test_each_call_has_several_rounds_before_the_next_ones_turn() -> None:
    said: list[tuple[str, int]] = []
    times = in_turns([lambda i: said.append(("a", i)), lambda i: said.append(("b", i))], 2 * TURN)
    length = 1 + TURN
    assert [name for name, _ in said] == (["a"] * length + ["b"] * length) * 3
    assert [i for name, i in said if name == "a"] == list(range(3 * length))
    assert times.shape == (2 * TURN, 2)


def test_the_first_round_of_a_turn_which_finds_anothers_caches_is_not_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slow_s, now_s = 0.02, 0.0
    monkeypatch.setattr(time, "perf_counter", lambda: now_s)  # no other work on it

    def call(i: int) -> None:
        nonlocal now_s
        now_s += slow_s if i % (1 + TURN) == 0 else slow_s / 10

    assert in_turns([call, call], TURN).max() < 1e3 * slow_s


def test_rounds_are_made_up_to_whole_turns() -> None:
    assert len(in_turns([str], TURN + 1)) == 2 * TURN
