"""The only place that turns settings into objects."""

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from inspector.contract import topics
from inspector.contract.status import StateMessage
from inspector.delivery.archive import ImageArchive
from inspector.delivery.commands import Answers, MqttDoor
from inspector.delivery.consumers import Identity
from inspector.delivery.disagreements import Disagreements
from inspector.delivery.journal import Journal
from inspector.delivery.ledger import Ledger
from inspector.delivery.line_mqtt import MqttLine, MqttLineSettings
from inspector.delivery.mqtt import Courier
from inspector.delivery.trigger_mqtt import MqttTrigger, MqttTriggerSettings, ids_recorded
from inspector.devices.camera_genicam import genicam_camera
from inspector.devices.camera_opencv import OpenCvSettings, opencv_camera
from inspector.devices.camera_replay import ReplayCamera, ReplaySettings
from inspector.devices.camera_video import VideoCamera
from inspector.devices.genicam_settings import GenicamSettings
from inspector.devices.line_gpio import GpioLine, GpioLineSettings
from inspector.devices.line_modbus import ModbusLine, ModbusLineSettings
from inspector.devices.trigger_command import CommandTrigger, CommandTriggerSettings
from inspector.devices.trigger_continuous import ContinuousSettings, ContinuousTrigger
from inspector.devices.trigger_interval import IntervalSettings, IntervalTrigger
from inspector.devices.trigger_part_present import PartPresentSettings, PartPresentTrigger
from inspector.runtime.loader import load_runtime
from inspector.runtime.reload import Reloader
from inspector.runtime.served import served_path
from inspector.runtime.signature import trust_in
from inspector.settings import LineSettings, Settings, read_recipe
from inspector.station.cycle import Gear, Job
from inspector.station.exchange import JobExchange
from inspector.station.line import NO_LINE, LineDriver, LineOutput
from inspector.station.loop import Station, keep_nothing
from inspector.station.ports import Camera, Trigger
from inspector.station.shadow import ShadowJudge


class SystemClock:
    """ports.Clock by this machine."""

    def monotonic(self) -> float:
        return time.monotonic()

    def utc(self) -> datetime:
        return datetime.now(UTC)


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
    prepare: Callable[[], Job]
    """Recipe and bundle as they are on disk now. Raises ConfigError, BundleError."""
    shadow: "BuiltShadow | None"
    """None where no second bundle is named, or the station begins in ERROR."""
    trigger: Trigger
    at_the_line: Mapping[str, Runs]
    """Trigger and signal, where they have threads of their own."""

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

    def prepare() -> Job:
        return reloader.prepare(read_recipe(settings))

    if first_fault is None:
        prepare()
    archive = ImageArchive(settings.archive)
    journal = Journal(settings.journal)
    journal.register(settings.consumers)
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
    gear = Gear(
        station=settings.station,
        boot=boot,
        camera=camera,
        journal=journal,
        archive=archive,
        publisher=courier,
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
    at_the_line: dict[str, Runs] = {"line": line} if line else {}
    if isinstance(trigger, MqttTrigger):
        at_the_line["trigger"] = trigger
    return Built(
        station, journal, courier, archive, reloader, prepare, shadow, trigger, at_the_line
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
    runtime = load_runtime(settings.bundles.folder, settings.shadow.bundle, trust=trust)
    disagreements = Disagreements(settings.shadow, courier.offer_shadow)
    judge = ShadowJudge(
        runtime,
        queue_max=settings.shadow.queue_max,
        clock=SystemClock(),
        keep=disagreements.keep,
    )
    return BuiltShadow(judge, disagreements)


def build_reloader(settings: Settings, exchange: JobExchange) -> Reloader:
    """Raises ConfigError where the public key cannot be used."""
    return Reloader(
        settings.bundles,
        record=served_path(settings.journal.path),
        exchange=exchange,
        threads=settings.model_threads,
    )


def build_job(settings: Settings) -> Job:
    """The recipe and its own bundle, as it was commissioned. Raises ConfigError, BundleError."""
    recipe, bundles = read_recipe(settings), settings.bundles
    trust = trust_in(bundles.public_key)
    return Job(recipe, load_runtime(bundles.folder, recipe.bundle, settings.model_threads, trust))


def build_camera(settings: ReplaySettings | OpenCvSettings | GenicamSettings) -> Camera:
    """Raises ConfigError where what drives it is not installed."""
    match settings:
        case ReplaySettings():
            return ReplayCamera(settings)
        case OpenCvSettings(file=None):
            return opencv_camera(settings)
        case OpenCvSettings():
            return VideoCamera(settings)
        case GenicamSettings():
            return genicam_camera(settings)


def build_trigger(settings: Settings, camera: Camera, as_client: str = "trigger") -> Trigger:
    """camera: the station's own. Raises ConfigError where the trigger's file cannot be used."""
    match settings.trigger:
        case IntervalSettings() as interval:
            return IntervalTrigger(interval)
        case ContinuousSettings() as continuous:
            return ContinuousTrigger(continuous)
        case PartPresentSettings() as present:
            return PartPresentTrigger(present, camera)
        case CommandTriggerSettings() as command:
            return CommandTrigger(command)
        case MqttTriggerSettings() as mqtt:
            return MqttTrigger(
                mqtt,
                settings.mqtt,
                topic=topics.trigger(settings.topic_root, settings.station),
                client_id=client_id(settings, as_client),
                seen=ids_recorded(settings.journal.path),
            )


def build_line(settings: Settings, boot: str) -> LineOutput | None:
    """None where the result on MQTT is the release. Raises ConfigError for a missing extra."""
    if settings.line is None:
        return None
    driver = line_driver(settings, settings.line, boot)
    return LineOutput(driver, pulse_ms=settings.line.pulse_ms, clock=SystemClock())


def line_driver(settings: Settings, line: LineSettings, boot: str) -> LineDriver:
    match line:
        case ModbusLineSettings():
            return ModbusLine(line)
        case GpioLineSettings():
            return GpioLine(line)
        case MqttLineSettings():
            return MqttLine(
                line,
                settings.mqtt,
                topic=topics.line(settings.topic_root, settings.station),
                client_id=client_id(settings, "line"),
                station=settings.station,
                boot=boot,
            )


def client_id(settings: Settings, what: str) -> str:
    """Another one than the courier's: a broker lets each in once."""
    place = f"{settings.topic_root}/{settings.station}".replace("/", "-")
    return f"{settings.mqtt.client_id or f'inspector-{place}'}-{what}"


def new_boot() -> str:
    """Another one at every start, also where the clock stands still or goes back."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


def _will(station: str, boot: str) -> bytes:
    """What the broker says when it has lost us: no time, since nobody knows when it will be."""
    return StateMessage(
        station=station, boot=boot, state="OFFLINE", cause="the connection was lost", since=None
    ).to_json()
