"""`inspector run`: starts the threads and joins them; if one dies, the process ends."""

import faulthandler
import logging
import os
import signal
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

from inspector import __version__
from inspector.build import Built, build
from inspector.devices.quiet import quiet_cv2
from inspector.settings import read_settings
from inspector.station.loop import Order, Station
from inspector.station.state import Event

LOOK_S = 0.2
LAST_PART_S = 10.0

log = logging.getLogger("inspector")


def run(path: Path) -> int:
    """Run the station until SIGTERM, SIGINT or the end of a finite source; the exit code.

    Raises ConfigError, BundleError and RecordError where it cannot start (without a journal
    there is nothing to tell anybody with), and whatever killed a thread.
    """
    set_up_process()
    settings = read_settings(path)
    built = build(settings)
    log.info("inspector %s, station %s, process %d", __version__, settings.station, os.getpid())
    if built.job.runtime.notice:
        log.warning("bundle %s: %s", built.job.runtime.bundle_id, built.job.runtime.notice)
    if settings.autostart:
        _autostart(built)
    stop = _signals()
    station = _StationThread(built.station)
    built.archive.start()
    built.courier.start()
    built.reloader.start()
    station.start()
    cause = _watch(built, station, stop)
    return _end(built, station, cause, settings.drain_s)


def set_up_process() -> None:
    """Logging to stderr, one line an event; and what C libraries may do by themselves."""
    formatter = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    formatter.converter = time.gmtime
    formatter.default_time_format = "%Y-%m-%dT%H:%M:%S"
    formatter.default_msec_format = "%s.%03dZ"
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    faulthandler.enable()
    quiet_cv2()


class _StationThread(threading.Thread):
    """Keeps what killed the station, so that the process can end with it."""

    def __init__(self, station: Station) -> None:
        super().__init__(name="station", daemon=True)
        self._station = station
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self._station.run()
        except BaseException as error:  # noqa: BLE001 - raised again in the main thread
            self.error = error


def _autostart(built: Built) -> None:
    for event, job in (
        (Event.SELECT_AUTOMATIC, None),
        (Event.PREPARE_RECIPE, built.job),
        (Event.START_CONTINUOUS, None),
    ):
        built.station.offer(Order(event, "autostart", job))


def _signals() -> threading.Event:
    """Set at the first SIGTERM or SIGINT; a second one kills as usual."""
    stop = threading.Event()

    def handle(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)
    return stop


def _watch(built: Built, station: _StationThread, stop: threading.Event) -> str:
    """Wait for the reason to end."""
    while station.is_alive():
        if stop.wait(LOOK_S):
            return "stopped"
        if not built.courier.alive():
            return "the courier died"
        if not built.reloader.alive():
            return "the loader died"
    return built.station.message().cause


def _end(built: Built, station: _StationThread, cause: str, drain_s: float) -> int:
    """Finish the part, say OFFLINE, send what is left."""
    courier_lives = built.courier.alive()
    built.station.stop()
    station.join(timeout=LAST_PART_S)
    if station.is_alive():
        log.error("the station did not finish its part within %g s", LAST_PART_S)
        return 1
    if station.error is not None:
        cause = f"the program failed: {type(station.error).__name__}"
    changes = {"state": "OFFLINE", "cause": cause, "since": datetime.now(UTC)}
    built.courier.offer_state(built.station.message().model_copy(update=changes).to_json())
    built.reloader.stop()
    built.archive.stop()
    if not built.courier.stop(drain_s):
        log.warning("the broker has not got every result: the journal keeps them for next time")
    built.journal.close()
    if station.error is not None:
        raise station.error
    log.info("ended: %s", cause)
    return 0 if courier_lives else 1
