"""`inspector run`: starts the threads and joins them; if one dies, the process ends."""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path

from inspector import __version__
from inspector.build import Built, build, build_command_door
from inspector.contract.errors import InspectorError
from inspector.delivery.ledger import Ledger
from inspector.devices.camera_replay import ReplaySettings, require_pictures
from inspector.devices.quiet import quiet_cv2
from inspector.devices.trigger_command import CommandTrigger
from inspector.logs import set_up_logs
from inspector.look import Look
from inspector.process import one_heap, short_turns
from inspector.settings import Settings, read_settings, state_folder
from inspector.station.loop import Order, Station
from inspector.station.state import Event
from inspector.supervise.commands import Commands
from inspector.supervise.door import Door
from inspector.supervise.folder import alone_in
from inspector.supervise.starts import StartLog
from inspector.supervise.systemd import Systemd

LOOK_S = 0.1
LAST_PART_S = 10.0

log = logging.getLogger("inspector")


def run(path: Path) -> int:
    """Run the station until SIGTERM, SIGINT or the end of a finite source; the exit code.

    1 where a thread died of its own: of an end that nobody asked for systemd has to hear, and the
    list of starts too.

    Raises ConfigError, BundleError and RecordError where it cannot start (without a journal
    there is nothing to tell anybody with).
    """
    one_heap()
    short_turns()
    set_up_logs()
    quiet_cv2()
    settings = read_settings(path)
    set_up_logs(settings.log)
    if isinstance(settings.camera, ReplaySettings):
        require_pictures(settings.camera, str(path))
    folder = state_folder(settings)
    stop = threading.Event()
    with alone_in(folder):
        starts = StartLog(folder, settings.rules)
        _leaves_at_once(stop)
        try:
            code = _run(settings, starts, starts.begin(), stop)
        except (InspectorError, KeyboardInterrupt, SystemExit):
            starts.end()  # said in words, or told to end before it was there: no crash
            raise
        if code == 0:
            starts.end()
        return code


def _run(
    settings: Settings, starts: StartLog, first_fault: str | None, stop: threading.Event
) -> int:
    built = build(settings, first_fault, starts.keep_fault)
    log.info("inspector %s, station %s, process %d", __version__, settings.station, os.getpid())
    if built.job is not None and built.job.runtime.notice:
        log.warning("bundle %s: %s", built.job.runtime.bundle_id, built.job.runtime.notice)
    if first_fault is not None:
        log.error(
            "it begins in ERROR; once the cause has been seen: inspector command STATION.TOML "
            "reset, then select, then start"
        )
    elif settings.autostart:
        _autostart(built)
    _ends_in_order(stop)
    station = _StationThread(built.station)
    systemd = Systemd()
    # closed last: what is answered while the station ends stands in it too
    with closing(Ledger(settings.journal.path, built.station.snapshot.boot)) as ledger:
        with ExitStack() as watchers:
            threads = _start(settings, built, station, ledger, watchers)
            systemd.ready()
            cause = _watch(built.station, threads, stop, systemd)
            dead = _dead_beside_station(threads)  # before the others are stopped
            systemd.stopping()
        return 0 if _end(built, station, cause, dead, settings.drain_s) else 1


def _start(
    settings: Settings,
    built: Built,
    station: "_StationThread",
    ledger: Ledger,
    watchers: ExitStack,
) -> dict[str, Callable[[], bool]]:
    """Start everything; what must stay alive, by name. Raises ConfigError, RecordError."""
    ask = built.trigger.ask if isinstance(built.trigger, CommandTrigger) else None
    commands = Commands(
        built.station, built.prepare, built.reloader, ledger, built.archive.picture, ask
    )
    door = Door(state_folder(settings), commands)
    threads = {
        "station": station.is_alive,
        "courier": built.courier.alive,
        "archive": built.archive.alive,
        "loader": built.reloader.alive,
        "door": door.alive,
    }
    if built.shadow is not None:
        threads["shadow"] = built.shadow.judge.alive
    threads.update({name: each.alive for name, each in built.at_the_line.items()})
    watchers.callback(door.stop)
    door.start()
    command_door = build_command_door(settings, built, commands, ledger)
    if command_door is not None:
        command_door.start()
        watchers.callback(command_door.stop)
        threads["commands"] = command_door.alive
    if settings.metrics is not None:
        # only here: a station without it need not load the library
        from inspector.supervise.health import HealthPage

        look = Look(built, commands, ledger, command_door, lambda: _dead(threads))
        page = HealthPage(settings.metrics, look)
        page.start()
        watchers.callback(page.stop)
        threads["health"] = page.alive
    built.archive.start()
    built.courier.start()
    if built.sparkplug is not None:
        built.sparkplug.start(commands.answer)
        threads["sparkplug"] = built.sparkplug.alive
    built.reloader.start()
    if built.shadow is not None:
        built.shadow.start()
    for each in built.at_the_line.values():
        each.start()
    station.start()
    return threads


class _StationThread(threading.Thread):
    """Keeps what killed the station, so that the process can end with it."""

    def __init__(self, station: Station) -> None:
        super().__init__(name="station", daemon=True)
        self._station = station
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self._station.run()
        except BaseException as error:  # noqa: BLE001 - the process ends with it
            self.error = error


def _autostart(built: Built) -> None:
    for event, job in (
        (Event.SELECT_AUTOMATIC, None),
        (Event.PREPARE_RECIPE, built.job),
        (Event.START_CONTINUOUS, None),
    ):
        built.station.offer(Order(event, "autostart", job))


def _leaves_at_once(stop: threading.Event) -> None:
    """At a SIGTERM or a hang-up, while there is nothing yet that could end in order."""

    def handle(_number: int, _frame: object) -> None:
        stop.set()  # also where what is raised here reaches nobody
        raise SystemExit(0)

    for number in (signal.SIGTERM, *_hang_up()):
        signal.signal(number, handle)


def _ends_in_order(stop: threading.Event) -> None:
    """Set at the first SIGTERM, SIGINT or hang-up; a second one kills as usual."""

    def handle(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT, *_hang_up()):
        signal.signal(number, handle)


def _hang_up() -> tuple[signal.Signals, ...]:
    """The end of the terminal that it was started at, unless it is to outlive that (nohup)."""
    ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return () if ignored else (signal.SIGHUP,)


def _watch(
    station: Station,
    threads: dict[str, Callable[[], bool]],
    stop: threading.Event,
    systemd: Systemd,
) -> str:
    """Wait for the reason to end; meanwhile systemd hears of every move of the pipeline."""
    while threads["station"]() and not _dead_beside_station(threads):
        station.busy.look_on()
        systemd.moved(station.pulse.turns)
        systemd.status(f"{station.pulse.state}: {station.pulse.cause}")
        if stop.wait(LOOK_S):
            return "stopped"
    return station.pulse.cause


def _dead(threads: dict[str, Callable[[], bool]]) -> tuple[str, ...]:
    return tuple(name for name, alive in threads.items() if not alive())


def _dead_beside_station(threads: dict[str, Callable[[], bool]]) -> tuple[str, ...]:
    """Its own ends in order with a finite source; the others are there until they are stopped."""
    return tuple(name for name in _dead(threads) if name != "station")


def _end(
    built: Built, station: _StationThread, cause: str, dead: tuple[str, ...], drain_s: float
) -> bool:
    """Finish the part, say OFFLINE, send what is left; whether it was an end in order.

    dead: the threads, beside the station's, that nobody had told to stop.
    """
    built.station.stop()
    station.join(timeout=LAST_PART_S)
    for each in built.at_the_line.values():
        each.stop()  # the line rejects from here on, whatever takes its time below
    if station.is_alive():
        log.error("the station did not finish its part within %g s", LAST_PART_S)
        return False
    in_order = station.error is None and not dead
    if dead:
        cause = f"dead: {', '.join(dead)}"
    if station.error is not None:
        cause = f"the program failed: {type(station.error).__name__}"
    withheld = f"OFFLINE: {cause}"
    changes = {
        "state": "OFFLINE",
        "cause": cause,
        "since": datetime.now(UTC),
        "withheld": withheld,
    }
    built.courier.offer_state(built.station.message().model_copy(update=changes).to_json())
    built.reloader.stop(in_order=in_order)
    if built.shadow is not None:
        built.shadow.stop()
    built.archive.stop()
    ends_at = time.monotonic() + drain_s
    if not built.courier.stop(drain_s):
        log.warning("the broker has not got every result: the journal keeps them for next time")
    left_s = max(0.0, ends_at - time.monotonic())  # drain_s is for both: who ends it waits so long
    if built.sparkplug is not None and not built.sparkplug.stop(left_s):
        log.warning("sparkplug: results wait in the journal for next time")
    built.journal.close()
    if in_order:
        log.info("ended: %s", cause)
    else:
        log.error("ended: %s", cause, exc_info=station.error)
    return in_order
