"""What an edge node says of the station and of itself, beside the parts."""

import json
from collections.abc import Callable
from dataclasses import dataclass

from inspector.contract.strict import Name
from inspector.delivery import sparkplug_metrics as metrics
from inspector.delivery.sparkplug_commands import DeviceCommands
from inspector.delivery.sparkplug_payload import Sample
from inspector.delivery.sparkplug_rows import Rows
from inspector.delivery.sparkplug_session import Session, now_ms

OURSELVES_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Origin:
    """Which program, of which station, since when."""

    station: Name
    boot: str
    version: str


class Reports:
    """Any thread offers; the edge node's thread tells."""

    def __init__(
        self, origin: Origin, commands: DeviceCommands, refused: Callable[[], int]
    ) -> None:
        """refused: messages to the node that were not followed."""
        self._origin = origin
        self._commands = commands
        self._refused = refused
        self._state: bytes | None = None
        self._alarm = b"{}"
        self._told: tuple[object, ...] = (None, None, None)
        self._ourselves_at = 0.0

    def offer_state(self, payload: bytes) -> None:
        self._state = payload

    def offer_alarm(self, payload: bytes) -> None:
        self._alarm = payload

    def everything(self, rows: Rows) -> tuple[list[Sample], list[Sample]]:
        """Every metric of the node, and every one of the device, for their births."""
        at_ms = now_ms()
        newest = rows.newest()
        row, row_ms = (newest.row, newest.at_ms) if newest else (None, at_ms)
        controls = self._commands.controls.values()
        device = [
            *metrics.PART.samples(row, row_ms),
            *self._station(at_ms),
            *(metrics.resting(each, at_ms) for each in controls),
        ]
        return self._ourselves(rows, at_ms), device

    def tell(self, session: Session, rows: Rows, now: float) -> None:
        """What has changed of the station, and once a second of ourselves."""
        newest = (self._state, self._alarm, self._commands.last)
        if any(new is not old for new, old in zip(newest, self._told, strict=True)):
            self._told = newest
            session.device_data(self._station(now_ms()))
        if now >= self._ourselves_at:
            self._ourselves_at = now + OURSELVES_EVERY_S
            session.node_data(self._ourselves(rows, now_ms()))

    def _station(self, at_ms: int) -> list[Sample]:
        state, last = self._state, self._commands.last
        # read here: the thread that offers has parts to inspect
        known = None if state is None else {**json.loads(self._alarm), **json.loads(state)}
        command = (last.action, last.outcome, last.reason, last.done, last.refused)
        pairs = zip(metrics.COMMAND, command, strict=True)
        return [
            *metrics.STATION.samples(known, at_ms),
            *(Sample(of, value, at_ms) for of, value in pairs),
        ]

    def _ourselves(self, rows: Rows, at_ms: int) -> list[Sample]:
        values = (
            (metrics.VERSION, self._origin.version),
            (metrics.STATION_NAME, self._origin.station),
            (metrics.BOOT, self._origin.boot),
            (metrics.SENT_SEQ, rows.sent_seq),
            (metrics.WAITING, rows.waiting),
            (metrics.MISSING, rows.missing),
            (metrics.REFUSED, self._refused()),
        )
        return [Sample(of, value, at_ms) for of, value in values]
