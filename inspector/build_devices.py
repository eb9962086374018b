"""Camera, trigger and line signal out of the settings: what stands at the line."""

from inspector.clock import SystemClock
from inspector.contract import topics
from inspector.delivery.line_mqtt import MqttLine, MqttLineSettings
from inspector.delivery.trigger_mqtt import MqttTrigger, MqttTriggerSettings, ids_recorded
from inspector.devices.camera_genicam import genicam_camera
from inspector.devices.camera_opencv import OpenCvSettings, opencv_camera
from inspector.devices.camera_replay import ReplayCamera, ReplaySettings
from inspector.devices.camera_video import VideoCamera
from inspector.devices.capture_process import ProcessCamera
from inspector.devices.genicam_settings import GenicamSettings
from inspector.devices.line_gpio import GpioLine, GpioLineSettings
from inspector.devices.line_modbus import ModbusLine, ModbusLineSettings
from inspector.devices.trigger_command import CommandTrigger, CommandTriggerSettings
from inspector.devices.trigger_continuous import ContinuousSettings, ContinuousTrigger
from inspector.devices.trigger_interval import IntervalSettings, IntervalTrigger
from inspector.devices.trigger_part_present import PartPresentSettings, PartPresentTrigger
from inspector.settings import LineSettings, Settings
from inspector.station.echo import NOTHING_ASKED, Asked
from inspector.station.line import LineOutput
from inspector.station.ports import Camera, Trigger
from inspector.station.signal import LineDriver


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


def open_camera(camera: Camera) -> None:
    """For a command, which has more time than a station: until something has become of the first
    try. Raises DeviceError.
    """
    camera.open()
    if isinstance(camera, ProcessCamera):
        camera.tried()


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
    # the wires of gpio lead one way
    asked = settings.line if isinstance(settings.line, Asked) else NOTHING_ASKED
    return LineOutput(driver, pulse_ms=settings.line.pulse_ms, clock=SystemClock(), asked=asked)


def line_driver(
    settings: Settings, line: LineSettings, boot: str, as_client: str = "line"
) -> LineDriver:
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
                echo_topic=topics.echo(settings.topic_root, settings.station),
                client_id=client_id(settings, as_client),
                station=settings.station,
                boot=boot,
            )


def client_id(settings: Settings, what: str) -> str:
    """Another one than the courier's: a broker lets each in once."""
    return f"{settings.mqtt.name_of(f'{settings.topic_root}/{settings.station}')}-{what}"
