"""`inspector check`: tries the trigger and the line's signal as it does the camera."""

import time
from collections.abc import Iterator

from inspector.build_devices import build_camera, build_trigger, line_driver
from inspector.contract.command import Command, Reply
from inspector.contract.errors import ConfigError, DeviceError, RecordError
from inspector.contract.image import Image
from inspector.delivery.trigger_mqtt import MqttTrigger
from inspector.devices.line_gpio import GpioLineSettings
from inspector.devices.trigger_interval import IntervalSettings
from inspector.devices.trigger_part_present import PartPresentTrigger
from inspector.finding import Finding
from inspector.settings import Settings, state_folder
from inspector.station.recipe import Recipe
from inspector.station.signal import REST
from inspector.supervise.door import NotAllowed, ask

TRY_S = 3.0
STATUS = Command(schema=1, id="check", action="status")


def check_trigger(
    settings: Settings, recipe: Recipe | None, image: Image | None
) -> Iterator[Finding]:
    """image: what the camera gives, None where that is not known."""
    kind = settings.trigger.kind
    try:
        camera = build_camera(settings.camera)
    except ConfigError:
        yield Finding("note", f"trigger {kind}: not tried, see the camera")
        return
    try:
        trigger = build_trigger(settings, camera, as_client="check")
    except (ConfigError, RecordError) as error:
        yield Finding("fault", f"trigger {kind}: {error}")
        return
    if isinstance(trigger, MqttTrigger):
        trigger.start()
        end = time.monotonic() + TRY_S
        while trigger.trouble is not None and time.monotonic() < end:
            time.sleep(0.05)
        trouble = trigger.trouble
        trigger.stop()
        if trouble is not None:
            text = f"trigger mqtt: {trouble}; no part can be triggered before that"
            yield Finding("note", text)
            return
    if isinstance(trigger, PartPresentTrigger) and image is not None:
        try:
            trigger.require(image)
        except ValueError as error:
            yield Finding("fault", f"trigger part_present: {error}: no part would be seen")
            return
    yield Finding("ok", f"trigger: {kind}")
    if recipe and isinstance(settings.trigger, IntervalSettings) and not camera.simulated:
        yield from _check_beat(settings.trigger.period_ms, recipe)


def _check_beat(period_ms: int, recipe: Recipe) -> Iterator[Finding]:
    """A picture that may come after the next beat may show the next part."""
    timeout_ms = min(recipe.frame_timeout_ms, recipe.deadline_ms)
    if timeout_ms >= period_ms:
        yield Finding(
            "note",
            f"trigger interval: recipe {recipe.name} waits up to {timeout_ms} ms for a frame, and "
            f"the next part comes after {period_ms} ms: a part whose frame comes later than that "
            f"is UNDEFINED; set frame_timeout_ms below period_ms",
        )


def check_line(settings: Settings) -> Iterator[Finding]:
    """Shows the line the rest of a station that is not there, and nothing else."""
    if settings.line is None:
        yield Finding("note", "line: no signal; the result on MQTT is the release")
        return
    kind = settings.line.kind
    if running(settings):  # it must not be contradicted
        yield Finding("note", f"line {kind}: not tried, the station is running and shows it")
        return
    if hidden(settings):
        yield Finding("note", f"line {kind}: not tried, a station may be running and show it")
        return
    try:
        driver = line_driver(settings, settings.line, boot="check", as_client="check")
    except ConfigError as error:
        yield Finding("fault", str(error))
        return
    try:
        driver.open()
        driver.write(REST)
    except DeviceError as error:
        yield Finding("fault", f"line {kind}: {error}; no part would pass")
        return
    finally:
        driver.close()
    yield Finding("ok", f"line {kind}: shows reject, its rest")
    if isinstance(settings.line, GpioLineSettings):
        yield Finding("note", "line gpio: written, and never tried on a chip: look at every wire")


def running(settings: Settings) -> str | None:
    """The station that answers as this one's process would; None where none does."""
    reply = status(settings)
    return reply.station if reply else None


def status(settings: Settings) -> Reply | None:
    """What it answers."""
    try:
        return ask(state_folder(settings), STATUS)
    except DeviceError:
        return None


def hidden(settings: Settings) -> bool:
    """Whether there may be one that this user cannot ask."""
    try:
        ask(state_folder(settings), STATUS)
    except NotAllowed:
        return True
    except DeviceError:
        return False
    return False
