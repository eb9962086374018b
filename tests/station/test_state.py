"""The state machine is its table and nothing else."""

import itertools
from typing import get_args

import pytest

from inspector.contract.errors import StateError
from inspector.contract.status import StateName
from inspector.station.state import EXECUTING, MOVES, Event, State, move


@pytest.mark.parametrize(("state", "event"), list(itertools.product(State, Event)))
def test_a_move_is_in_the_table_or_refused(state: State, event: Event) -> None:
    if (state, event) in MOVES:
        assert move(state, event) is MOVES[state, event]
    else:
        with pytest.raises(StateError, match=f"{event} is not allowed while {state}"):
            move(state, event)


def test_an_error_is_left_only_by_reset_or_halt() -> None:
    assert {event for state, event in MOVES if state is State.ERROR} == {Event.RESET, Event.HALT}


def test_nothing_executes_but_by_a_start_from_ready() -> None:
    ways = {(state, event) for (state, event), after in MOVES.items() if after in EXECUTING}
    assert ways == {(State.READY, Event.START_SINGLE), (State.READY, Event.START_CONTINUOUS)}


def test_every_working_state_can_fail_stop_and_reset() -> None:
    for state in set(State) - {State.ERROR, State.HALTED}:
        assert move(state, Event.FAULT) is State.ERROR
        assert move(state, Event.HALT) is State.HALTED


def test_every_state_is_reached_and_left() -> None:
    assert set(MOVES.values()) == set(State)
    assert {state for state, _ in MOVES} == set(State)


def test_the_message_knows_every_state_and_offline() -> None:
    assert set(get_args(StateName)) == {*State, "OFFLINE"}
