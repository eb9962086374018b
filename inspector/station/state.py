"""The station's state machine, OPC 40100-1: one table.

The standard groups four of these states as Operational (automatic mode):

    PREOPERATIONAL -> INITIALIZED -> READY -> SINGLE_EXECUTION | CONTINUOUS_EXECUTION

FAULT leads to ERROR from wherever the station works, RESET to PREOPERATIONAL, HALT to HALTED.
A pair that is not in the table is refused; nothing moves by itself.
"""

from enum import StrEnum

from inspector.contract.errors import StateError


class State(StrEnum):
    PREOPERATIONAL = "PREOPERATIONAL"
    HALTED = "HALTED"
    ERROR = "ERROR"
    INITIALIZED = "INITIALIZED"
    READY = "READY"
    SINGLE_EXECUTION = "SINGLE_EXECUTION"
    CONTINUOUS_EXECUTION = "CONTINUOUS_EXECUTION"


class Event(StrEnum):
    SELECT_AUTOMATIC = "SELECT_AUTOMATIC"
    PREPARE_RECIPE = "PREPARE_RECIPE"
    UNPREPARE_RECIPE = "UNPREPARE_RECIPE"
    START_SINGLE = "START_SINGLE"
    START_CONTINUOUS = "START_CONTINUOUS"
    STOP = "STOP"
    ABORT = "ABORT"
    JOB_DONE = "JOB_DONE"
    FAULT = "FAULT"
    RESET = "RESET"
    HALT = "HALT"


S, E = State, Event

EXECUTING = (S.SINGLE_EXECUTION, S.CONTINUOUS_EXECUTION)
OPERATIONAL = (S.INITIALIZED, S.READY, *EXECUTING)

# The table is the whole machine (OPC 40100-1). One choice of ours is narrower than
# the standard: ERROR is left only by RESET or HALT, so a person has seen the fault.
MOVES: dict[tuple[State, Event], State] = {
    (S.PREOPERATIONAL, E.SELECT_AUTOMATIC): S.INITIALIZED,
    (S.INITIALIZED, E.PREPARE_RECIPE): S.READY,
    (S.READY, E.PREPARE_RECIPE): S.READY,
    (S.READY, E.UNPREPARE_RECIPE): S.INITIALIZED,
    (S.READY, E.START_SINGLE): S.SINGLE_EXECUTION,
    (S.READY, E.START_CONTINUOUS): S.CONTINUOUS_EXECUTION,
    (S.SINGLE_EXECUTION, E.JOB_DONE): S.READY,
    **{(s, e): S.READY for s in EXECUTING for e in (E.STOP, E.ABORT)},
    **{(s, E.FAULT): S.ERROR for s in (S.PREOPERATIONAL, *OPERATIONAL)},
    **{(s, E.RESET): S.PREOPERATIONAL for s in (S.HALTED, S.ERROR, *OPERATIONAL)},
    **{(s, E.HALT): S.HALTED for s in (S.PREOPERATIONAL, S.ERROR, *OPERATIONAL)},
}


def move(state: State, event: Event) -> State:
    """The state after `event`. Raises StateError where the event is not allowed now."""
    try:
        return MOVES[state, event]
    except KeyError:
        raise StateError(f"{event} is not allowed while {state}") from None


def allowed(state: State) -> list[Event]:
    """What may be asked of a station in this state; the rest it finds out by itself."""
    own = (Event.FAULT, Event.JOB_DONE)
    return [event for of, event in MOVES if of is state and event not in own]
