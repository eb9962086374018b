"""Where am I: station.toml. A change needs a restart; what is inspected is the recipe's matter."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from inspector.contract import topics
from inspector.contract.revision import Revision, revisions_path
from inspector.contract.strict import Name, Strict, read_toml, resolved
from inspector.contract.variant import Wanted
from inspector.delivery import reviews
from inspector.delivery.archive import ArchiveSettings
from inspector.delivery.cursors import COURIER
from inspector.delivery.disagreements import ShadowSettings
from inspector.delivery.gate import CommandDoorSettings
from inspector.delivery.journal import ConsumerSettings, JournalSettings
from inspector.delivery.line_mqtt import MqttLineSettings
from inspector.delivery.mqtt import MqttSettings
from inspector.delivery.review_desk import Places
from inspector.delivery.sparkplug_settings import SPARKPLUG, SparkplugSettings
from inspector.delivery.trigger_mqtt import MqttTriggerSettings
from inspector.devices.camera_opencv import OpenCvSettings
from inspector.devices.camera_replay import ReplaySettings
from inspector.devices.genicam_settings import GenicamSettings
from inspector.devices.line_gpio import GpioLineSettings
from inspector.devices.line_modbus import ModbusLineSettings
from inspector.devices.trigger_command import CommandTriggerSettings
from inspector.devices.trigger_continuous import ContinuousSettings
from inspector.devices.trigger_interval import IntervalSettings
from inspector.devices.trigger_part_present import PartPresentSettings
from inspector.energy import EnergySettings
from inspector.logs import LogSettings
from inspector.runtime.folder import BundleSettings, FolderAlone
from inspector.runtime.revise import Revisions
from inspector.runtime.settings import RuntimeSettings
from inspector.station.alarm import Rules
from inspector.station.recipe import Recipe
from inspector.supervise.settings import MetricsSettings

TriggerSettings = Annotated[
    IntervalSettings
    | ContinuousSettings
    | MqttTriggerSettings
    | PartPresentSettings
    | CommandTriggerSettings,
    Field(discriminator="kind"),
]
LineSettings = Annotated[
    MqttLineSettings | ModbusLineSettings | GpioLineSettings, Field(discriminator="kind")
]


class Settings(Strict):
    """One camera position on a line. Relative paths are relative to the file they stand in."""

    station: Name
    topic_root: topics.Root
    """The plant's path, as ISA-95 has it: enterprise/site/area/line."""
    recipe: Path
    bundles: Annotated[BundleSettings, FolderAlone]
    """The folder with the bundles a recipe may name, and whose bundles are taken."""
    camera: Annotated[
        ReplaySettings | OpenCvSettings | GenicamSettings, Field(discriminator="kind")
    ]
    trigger: TriggerSettings
    line: LineSettings | None = None
    """What the line's machine sees. Left out, the result on MQTT is the release."""
    journal: JournalSettings
    mqtt: MqttSettings
    archive: ArchiveSettings
    consumers: Annotated[tuple[ConsumerSettings, ...], Field(max_length=16)] = ()
    """Subscribers whose acknowledgement the journal waits for; left out: the broker's alone."""
    commands: CommandDoorSettings | None = None
    """Signed commands over the broker; left out: only the socket of this machine."""
    sparkplug: SparkplugSettings | None = None
    """Left out, the station is no Sparkplug edge node."""
    rules: Rules = Rules()
    state_folder: Path | None = None
    """For the command socket and the start log; left out: the journal's folder."""
    metrics: MetricsSettings | None = None
    """Left out, there is no health page."""
    log: LogSettings = LogSettings()
    shadow: ShadowSettings | None = None
    """Left out: no second bundle."""
    runtime: RuntimeSettings = RuntimeSettings()
    """Left out: onnxruntime, one thread."""
    model_variant: Wanted = "auto"
    """Which of a bundle's models runs; auto: what the CPU's flags suit, else float."""
    energy: EnergySettings | None = None
    """The meter of `inspector bench --runtimes`; left out: the processor's own, if it has one."""
    autostart: bool = True
    """Select automatic, prepare the recipe and start as soon as the program runs."""
    drain_s: Annotated[float, Field(ge=0.0, le=60.0)] = 10.0
    """How long the end waits for the broker; what it has not got by then is sent next time."""

    @model_validator(mode="after")
    def _consumers_named_once(self) -> Self:
        names = [each.name for each in self.consumers]
        if len(set(names)) < len(names):
            raise ValueError("consumers: each name once")
        keys = [each.name for each in self.commands.keys] if self.commands else []
        if len(set(keys)) < len(keys):
            raise ValueError("commands.keys: each name once")
        if COURIER in names:
            raise ValueError(f"consumers: {COURIER} is the station's own name for the broker")
        if SPARKPLUG in names:
            raise ValueError(f"consumers: {SPARKPLUG} is the station's own name for its edge node")
        return self

    @model_validator(mode="after")
    def _pictures_apart(self) -> Self:
        if self.shadow is not None and self.shadow.folder == self.archive.folder:
            raise ValueError(
                f"shadow.folder {self.shadow.folder}: is the archive's own: give it a folder of "
                "its own, or each deletes the other's oldest pictures"
            )
        return self

    @model_validator(mode="after")
    def _each_its_own_client(self) -> Self:
        broker = self.sparkplug.broker if self.sparkplug else None
        own = self.mqtt.name_of(f"{self.topic_root}/{self.station}")
        if broker is not None and broker.client_id == own and broker.where == self.mqtt.where:
            raise ValueError(
                f"sparkplug.broker.client_id {own}: is that of [mqtt] at the same broker, which "
                "lets each in once: leave it out, or name another"
            )
        return self

    @property
    def holders(self) -> tuple[ConsumerSettings, ...]:
        """Those whose rows the journal keeps: the consumers, and the edge node's hosts as one."""
        if self.sparkplug is None:
            return self.consumers
        return (
            *self.consumers,
            ConsumerSettings(name=SPARKPLUG, may_lose=self.sparkplug.may_lose),
        )


def state_folder(settings: Settings) -> Path:
    return settings.state_folder or settings.journal.path.parent


def reviews_path(settings: Settings) -> Path:
    """The store of what people said of this station's parts."""
    return state_folder(settings) / reviews.FILE


def review_places(settings: Settings) -> Places:
    """Where this station keeps what is reviewed."""
    shadow = settings.shadow.folder if settings.shadow else None
    archive = settings.archive
    free = archive.disk_free_min_mb
    return Places(settings.journal.path, archive.folder, shadow, free, settings.bundles.folder)


def read_settings(path: Path) -> Settings:
    """Raises ConfigError naming every fault of the file."""
    return resolved(read_toml(path, Settings), path.resolve().parent)


def revisions_of(settings: Settings) -> Revisions:
    """What was changed of this station's recipes from afar."""
    return Revisions(revisions_path(settings.journal.path))


def written_recipe(settings: Settings) -> Recipe:
    """As its file has it. Raises ConfigError naming every fault of the file."""
    return read_toml(settings.recipe, Recipe)


def held_revision(settings: Settings) -> Revision | None:
    """The newest of the recipe that holds; None: its file does. Raises ConfigError."""
    return revisions_of(settings).newest(written_recipe(settings))


def read_recipe(settings: Settings) -> Recipe:
    """As it holds: the file, or its newest revision. Raises ConfigError."""
    return revisions_of(settings).held(written_recipe(settings))
