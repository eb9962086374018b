"""One look at a running station, out of all its threads, for the health page."""

import os
import threading
import time
from collections.abc import Callable

from inspector import __version__
from inspector.build import Built
from inspector.contract.errors import InspectorError
from inspector.delivery.commands import MqttDoor
from inspector.delivery.ledger import Ledger
from inspector.delivery.reader import JournalReader
from inspector.supervise.commands import Commands
from inspector.supervise.vitals import Delivery, Vitals


class Look:
    """Any thread may look."""

    def __init__(
        self,
        built: Built,
        commands: Commands,
        ledger: Ledger,
        door: MqttDoor | None,
        dead: Callable[[], tuple[str, ...]],
    ) -> None:
        self._built = built
        self._commands = commands
        self._ledger = ledger
        self._door = door
        self._dead = dead
        self._lock = threading.Lock()  # a reader belongs to one thread at a time
        self._reader: JournalReader | None = None

    def __call__(self) -> Vitals:
        station = self._built.station
        return Vitals(
            now=time.monotonic(),
            version=__version__,
            state=station.snapshot,
            pulse=station.pulse,
            figures=station.figures(),
            dead=self._dead(),
            commands=self._commands.figures(),
            dropped=self._door.dropped() if self._door else {},
            audit_rows=self._ledger.rows,
            maps_dropped=self._built.archive.maps_dropped,
            delivery=self._delivery(),
        )

    def _delivery(self) -> Delivery | None:
        courier, path = self._built.courier, self._built.journal.path
        sparkplug = self._built.sparkplug
        try:
            with self._lock:
                self._reader = self._reader or JournalReader(path)
                rows = self._reader.rows()
                waits_s = self._reader.waits_s(courier.acknowledged_seq)
                last = self._reader.last_seq()
            disk = os.statvfs(path.parent)
            size = path.stat().st_size
        except (InspectorError, OSError):
            return None  # the state says what is wrong with the journal
        return Delivery(
            connected=courier.connected,
            reconnects=courier.reconnects,
            acknowledged_seq=courier.acknowledged_seq,
            lag=max(0, last - courier.acknowledged_seq),
            consumers=(*courier.consumers, *(sparkplug.consumers if sparkplug else ())),
            rows=rows,
            bytes=size,
            oldest_waiting_s=waits_s,
            disk_free_bytes=disk.f_bavail * disk.f_frsize,
        )
