"""The only place that turns settings into objects."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from inspector import __version__
from inspector.build_devices import build_camera, build_line, build_trigger, client_id
from inspector.clock import SystemClock
from inspector.contract import topics
from inspector.contract.status import StateMessage
from inspector.delivery.archive import ImageArchive
from inspector.delivery.commands import MqttDoor
from inspector.delivery.consumers import Identity
from inspector.delivery.disagreements import Disagreements
from inspector.delivery.journal import Journal
from inspector.delivery.lanes import Answers
from inspector.delivery.ledger import Ledger
from inspector.delivery.mqtt import Courier
from inspector.delivery.publishers import Both
from inspector.delivery.release import Released
from inspector.delivery.trigger_mqtt import MqttTrigger
from inspector.runtime.loader import load_runtime
from inspector.runtime.reload import Reloader
from inspector.runtime.served import served_path
from inspector.runtime.serving import Take, at_its_start
from inspector.runtime.signature import trust_in
from inspector.settings import Settings, revisions_of, written_recipe
from inspector.station.alarm import keep_nothing
from inspector.station.cycle import Gear, Job
from inspector.station.exchange import JobExchange
from inspector.station.line import NO_LINE
from inspector.station.loop import Station
from inspector.station.ports import Trigger
from inspector.station.shadow import ShadowJudge

if TYPE_CHECKING:
    from inspector.delivery.sparkplug import EdgeNode


class Runs(Protocol):
    """Has a thread that must live as long as the station does."""

    def start(self) -> None: ...

    def alive(self) -> bool: ...

    def stop(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Built:
    """A station and the threads around it, not yet started."""

    station: Station
    journal: Journal
    """The station's thread alone uses it while that runs."""
    courier: Courier
    archive: ImageArchive
    reloader: Reloader
    prepare: Callable[[Take], Job]
    """Recipe and bundle as they are on disk now, for the station to take. Raises ConfigError,
    BundleError."""
    shadow: "BuiltShadow | None"
    """None where no second bundle is named, or the station begins in ERROR."""
    trigger: Trigger
    at_the_line: Mapping[str, Runs]
    """Trigger and signal, where they have threads of their own."""
    sparkplug: "EdgeNode | None"
    """None where station.toml has no such section."""

    @property
    def job(self) -> Job | None:
        """What serves now. None where the station begins in ERROR: the bundle may crash it.

        Not kept here: after a reload the first model would stay in memory for good.
        """
        return self.reloader.serving


def build(
    settings: Settings,
    first_fault: str | None = None,
    keep_fault: Callable[[str | None], None] = keep_nothing,
) -> Built:
    """Everything one station needs. Raises ConfigError, BundleError, RecordError.

    first_fault: begin in ERROR with this cause. keep_fault: as Station's.
    """
    boot = new_boot()
    exchange = JobExchange()
    reloader = build_reloader(settings, exchange)

    def prepare(take: Take = at_its_start) -> Job:
        return reloader.prepare(written_recipe(settings), take)

    if first_fault is None:
        prepare()
    journal = Journal(settings.journal, station=settings.station)
    archive = ImageArchive(settings.archive)
    journal.register(settings.holders)
    courier = Courier(
        settings.mqtt,
        journal=settings.journal.path,
        released=journal.released,
        place=topics.Place.of(settings.topic_root, settings.station),
        will=_will(settings.station, boot),
        who=Identity(settings.station, boot),
        consumers=settings.consumers,
    )
    camera = build_camera(settings.camera)
    line = build_line(settings, boot)
    trigger = build_trigger(settings, camera)
    sparkplug = build_sparkplug(settings, journal.released, boot)
    gear = Gear(
        station=settings.station,
        boot=boot,
        camera=camera,
        journal=journal,
        archive=archive,
        publisher=Both(courier, sparkplug) if sparkplug else courier,
        clock=SystemClock(),
        line=line or NO_LINE,
    )
    shadow = build_shadow(settings, courier) if first_fault is None else None
    station = Station(
        gear,
        trigger,
        exchange,
        shadow.judge if shadow else None,
        rules=settings.rules,
        first_fault=first_fault,
        keep_fault=keep_fault,
    )
    courier.at_work = station.busy.at_work
    at_the_line: dict[str, Runs] = {"line": line} if line else {}
    if isinstance(trigger, MqttTrigger):
        at_the_line["trigger"] = trigger
    return Built(
        station=station,
        journal=journal,
        courier=courier,
        archive=archive,
        reloader=reloader,
        prepare=prepare,
        shadow=shadow,
        trigger=trigger,
        at_the_line=at_the_line,
        sparkplug=sparkplug,
    )


def build_sparkplug(settings: Settings, released: Released, boot: str) -> "EdgeNode | None":
    """None where station.toml has no such section."""
    if settings.sparkplug is None:
        return None
    # only here: a station without it need not load protobuf
    from inspector.delivery.sparkplug import EdgeNode, Origin

    broker = settings.sparkplug.broker or settings.mqtt
    return EdgeNode(
        settings.sparkplug,
        broker,
        client_id=(settings.sparkplug.broker and broker.client_id)
        or client_id(settings, "sparkplug"),
        journal=settings.journal.path,
        released=released,
        origin=Origin(settings.station, boot, __version__),
    )


@dataclass(frozen=True, slots=True)
class BuiltShadow:
    judge: ShadowJudge
    disagreements: Disagreements

    def start(self) -> None:
        self.disagreements.start()
        self.judge.start()

    def stop(self) -> None:
        self.judge.stop()
        self.disagreements.stop()


def build_command_door(
    settings: Settings, built: Built, answers: Answers, ledger: Ledger
) -> MqttDoor | None:
    """None where the settings have no keys for it. Raises ConfigError where one is unusable."""
    if settings.commands is None:
        return None
    return MqttDoor(
        settings.mqtt,
        settings.commands,
        place=topics.Place.of(settings.topic_root, settings.station),
        who=Identity(settings.station, built.station.snapshot.boot),
        answers=answers,
        ledger=ledger,
    )


def build_shadow(settings: Settings, courier: Courier) -> BuiltShadow | None:
    """None where no second bundle is named. Raises BundleError where it cannot judge."""
    if settings.shadow is None:
        return None
    trust = trust_in(settings.bundles.public_key)
    beside = settings.runtime.model_copy(update={"threads": 1})  # it takes no more of the machine
    folder, name = settings.bundles.folder, settings.shadow.bundle
    runtime = load_runtime(folder, name, beside, trust, settings.model_variant)
    disagreements = Disagreements(settings.shadow, courier.offer_shadow)
    judge = ShadowJudge(
        runtime,
        queue_max=settings.shadow.queue_max,
        clock=SystemClock(),
        keep=disagreements.keep,
        note=disagreements.note,
    )
    return BuiltShadow(judge, disagreements)


def build_reloader(settings: Settings, exchange: JobExchange) -> Reloader:
    """Raises ConfigError where the public key cannot be used."""
    return Reloader(
        settings.bundles,
        record=served_path(settings.journal.path),
        revisions=revisions_of(settings),
        exchange=exchange,
        runtime=settings.runtime,
        wanted=settings.model_variant,
    )


def new_boot() -> str:
    """Another one at every start, also where the clock stands still or goes back, and where a plant
    has power again and starts a thousand stations in one second."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(8)}"


def _will(station: str, boot: str) -> bytes:
    """What the broker says when it has lost us: no time, since nobody knows when it will be."""
    return StateMessage(
        station=station, boot=boot, state="OFFLINE", cause="the connection was lost", since=None
    ).to_json()
