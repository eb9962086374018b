"""A station on a thread of its own, without a broker: for tests of what happens around it."""

import json
import threading
from collections.abc import Sequence
from pathlib import Path

from inspector.bench import MemoryCamera, NoArchive, NoPublisher
from inspector.clock import SystemClock
from inspector.contract.image import Image
from inspector.delivery.journal import Journal, JournalSettings
from inspector.devices.trigger_continuous import ContinuousSettings, ContinuousTrigger
from inspector.station.cycle import Gear, Job
from inspector.station.exchange import JobExchange
from inspector.station.loop import Order, Station
from inspector.station.ports import Shadow
from inspector.station.state import Event
from tests.support import GREY, picture


class Running:
    """A station on its thread, inspecting without a pause."""

    def __init__(
        self,
        folder: Path,
        job: Job,
        *,
        exchange: JobExchange | None = None,
        shadow: Shadow | None = None,
        images: Sequence[Image] = (),
        prepared: bool = True,
    ) -> None:
        self._results: list[tuple[str, str]] = []
        self.exchange = exchange or JobExchange()
        self.journal = Journal(JournalSettings(path=folder / "journal.db", disk_free_min_mb=0))
        gear = Gear(
            "test",
            "boot",
            MemoryCamera(list(images) or [picture(GREY)]),
            self.journal,
            NoArchive(),
            NoPublisher(),
            SystemClock(),
        )
        trigger = ContinuousTrigger(ContinuousSettings())
        self.station = Station(gear, trigger, self.exchange, shadow)
        if prepared:
            for event in (Event.SELECT_AUTOMATIC, Event.PREPARE_RECIPE, Event.START_CONTINUOUS):
                self.station.offer(Order(event, "test", job))
        self.thread = threading.Thread(target=self.station.run)
        self.thread.start()

    def results(self) -> list[tuple[str, str]]:
        """Bundle and evaluation of every part, also after the end."""
        if self._results:
            return self._results
        rows = self.journal.after(0, limit=100_000)
        results = [json.loads(payload) for _, payload in rows]
        return [(each["bundle"], each["evaluation"]) for each in results]

    def stop(self) -> None:
        self.station.stop()
        self.thread.join()
        self._results = self.results()
        self.journal.close()
