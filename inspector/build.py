"""The only place that turns settings into objects."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from inspector import __version__
from inspector.contract import topics
from inspector.contract.status import StateMessage
from inspector.delivery.archive import ImageArchive
from inspector.delivery.consumers import Identity
from inspector.delivery.disagreements import Disagreements
from inspector.delivery.journal import Journal
from inspector.delivery.mqtt import Courier
from inspector.delivery.publishers import Both
from inspector.delivery.release import Released
from inspector.devices.camera_opencv import OpenCvSettings, opencv_camera
from inspector.devices.camera_replay import ReplayCamera, ReplaySettings
from inspector.devices.camera_video import VideoCamera
from inspector.devices.trigger_continuous import ContinuousSettings, ContinuousTrigger
from inspector.devices.trigger_interval import IntervalSettings, IntervalTrigger
from inspector.runtime.loader import load_runtime
from inspector.runtime.reload import Reloader
from inspector.runtime.served import served_path
from inspector.runtime.signature import trust_in
from inspector.settings import Settings, read_recipe
from inspector.station.cycle import Gear, Job
from inspector.station.exchange import JobExchange
from inspector.station.loop import Station, keep_nothing
from inspector.station.ports import Camera, Trigger
from inspector.station.shadow import ShadowJudge

if TYPE_CHECKING:
    from inspector.delivery.sparkplug import EdgeNode


class SystemClock:
    """ports.Clock by this machine."""

    def monotonic(self) -> float:
        return time.monotonic()

    def utc(self) -> datetime:
        return datetime.now(UTC)


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

    def prepare() -> Job:
        return reloader.prepare(read_recipe(settings))

    if first_fault is None:
        prepare()
    archive = ImageArchive(settings.archive)
    journal = Journal(settings.journal)
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
    sparkplug = build_sparkplug(settings, journal.released, boot)
    gear = Gear(
        station=settings.station,
        boot=boot,
        camera=build_camera(settings.camera),
        journal=journal,
        archive=archive,
        publisher=Both(courier, sparkplug) if sparkplug else courier,
        clock=SystemClock(),
    )
    shadow = build_shadow(settings, courier) if first_fault is None else None
    station = Station(
        gear,
        build_trigger(settings.trigger),
        exchange,
        shadow.judge if shadow else None,
        rules=settings.rules,
        first_fault=first_fault,
        keep_fault=keep_fault,
    )
    return Built(station, journal, courier, archive, reloader, prepare, shadow, sparkplug)


def build_sparkplug(settings: Settings, released: Released, boot: str) -> "EdgeNode | None":
    """None where station.toml has no such section."""
    if settings.sparkplug is None:
        return None
    # only here: a station without it need not load protobuf
    from inspector.delivery.sparkplug import EdgeNode, Origin

    broker = settings.sparkplug.broker or settings.mqtt
    # another one than the courier's: a broker lets each in once
    default = f"inspector-{settings.topic_root}/{settings.station}".replace("/", "-")
    client_id = f"{settings.mqtt.client_id or default}-sparkplug"
    return EdgeNode(
        settings.sparkplug,
        broker,
        client_id=(settings.sparkplug.broker and broker.client_id) or client_id,
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


def build_camera(settings: ReplaySettings | OpenCvSettings) -> Camera:
    match settings:
        case ReplaySettings():
            return ReplayCamera(settings)
        case OpenCvSettings(file=None):
            return opencv_camera(settings)
        case OpenCvSettings():
            return VideoCamera(settings)


def build_trigger(settings: IntervalSettings | ContinuousSettings) -> Trigger:
    match settings:
        case IntervalSettings():
            return IntervalTrigger(settings)
        case ContinuousSettings():
            return ContinuousTrigger(settings)


def new_boot() -> str:
    """Another one at every start, also where the clock stands still or goes back."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


def _will(station: str, boot: str) -> bytes:
    """What the broker says when it has lost us: no time, since nobody knows when it will be."""
    return StateMessage(
        station=station, boot=boot, state="OFFLINE", cause="the connection was lost", since=None
    ).to_json()
