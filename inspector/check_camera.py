"""`inspector check`, of the camera: what it gives, how fast, and whether the recipe fits it."""

import time
from collections.abc import Generator, Iterator

from inspector.build_devices import build_camera, open_camera
from inspector.check_line import status
from inspector.contract.errors import ConfigError, DeviceError, DeviceTimeout, FrameError
from inspector.contract.image import Image
from inspector.devices.camera_opencv import OpenCvSettings
from inspector.devices.genicam_settings import GenicamSettings
from inspector.finding import Finding
from inspector.runtime.fitness import slow
from inspector.runtime.model import ModelRuntime
from inspector.settings import Settings
from inspector.station.attest import attest
from inspector.station.attest_rule import Attest
from inspector.station.ports import Camera
from inspector.station.recipe import Recipe, regions_for
from inspector.station.state import EXECUTING, State

FRAME_TIMEOUT_S = 10.0
RATE_S = 1.0
CAMERA_OPEN = (State.READY, *EXECUTING)


def check_camera(
    station: Settings,
    recipe: Recipe | None,
    runtime: ModelRuntime | None,
) -> Generator[Finding, None, Image | None]:
    """Returns what the camera gave, None where that was nothing."""
    settings = station.camera
    if _is_kept(station):
        yield Finding("note", "camera: not tried, the running station has it")
        return None
    if isinstance(settings, GenicamSettings):  # what it refuses now, it will refuse again
        settings = settings.model_copy(update={"reopen_tries": 0})
    on_wire = isinstance(settings, GenicamSettings) and settings.trigger == "line"
    try:
        camera = build_camera(settings)
    except ConfigError as error:
        yield Finding("fault", f"camera: {error}")
        return None
    try:
        open_camera(camera)
        image = camera.grab(not_before=time.monotonic(), timeout_s=FRAME_TIMEOUT_S).image
        pace, trouble = ("", None) if camera.simulated or on_wire else _pace(camera)
    except DeviceError as error:
        yield _failed(error, on_wire=on_wire)
        return None
    finally:
        camera.close()
    yield Finding("ok", f"camera: gives frames of {image.shape[1]}x{image.shape[0]}{pace}")
    if trouble:
        yield trouble
    if recipe:
        yield from _check_regions(image, recipe, runtime)
    if recipe and recipe.attest:
        yield _attested(image, recipe, recipe.attest)
    if recipe and not recipe.frame and not camera.simulated:
        size = f"{{ width = {image.shape[1]}, height = {image.shape[0]} }}"
        yield Finding(
            "note", f"recipe {recipe.name}: any frame size is judged without frame = {size}"
        )
    return image


def _is_kept(station: Settings) -> bool:
    """Whether the station has it, and such a camera lets in one program at a time."""
    camera = station.camera
    alone = isinstance(camera, GenicamSettings) or (
        isinstance(camera, OpenCvSettings) and camera.index is not None
    )
    reply = status(station) if alone else None
    return reply is not None and reply.state in CAMERA_OPEN


def _check_regions(image: Image, recipe: Recipe, runtime: ModelRuntime | None) -> Iterator[Finding]:
    try:
        count = len(regions_for(image, recipe, runtime.tiles if runtime else None))
    except ConfigError:
        return  # told with the bundle
    except ValueError as error:
        yield Finding("fault", f"recipe {recipe.name}: {error}")
    else:
        yield Finding("ok", f"recipe {recipe.name}: {count} regions a frame")
        if runtime is not None and (why := slow(runtime, recipe, image.shape[:2])):
            yield Finding("note", why)


def _attested(image: Image, recipe: Recipe, rule: Attest) -> Finding:
    """What is in view may be no good part; a picture of another form than the reference is none."""
    found = attest(image, rule)
    where = f"recipe {recipe.name}: attest"
    if found.fault is None:
        return Finding("ok", f"{where}: this picture is within its limits")
    if not found.figures:
        return Finding("fault", f"{where}: {found.fault}: no part would pass")
    return Finding("note", f"{where}: this picture is rejected: {found.fault}")


def _failed(error: DeviceError, *, on_wire: bool) -> Finding:
    """A spoiled frame is one part's, and who waits for a wire may be given none now."""
    if on_wire and isinstance(error, DeviceTimeout):
        text = f'{error}; with trigger = "line" it gives one when a part passes'
        return Finding("note", f"camera: {text}")
    return Finding("note" if isinstance(error, FrameError) else "fault", f"camera: {error}")


def _pace(camera: Camera) -> tuple[str, Finding | None]:
    """In words, or why it was not measured: the picture that came before is looked at still."""
    try:
        return f", {_rate(camera):.3g} a second", None
    except DeviceError as error:
        return "", _failed(error, on_wire=False)


def _rate(camera: Camera) -> float:
    """Frames a second, by their numbers, lost ones among them. Raises DeviceError."""
    first = last = camera.grab(not_before=time.monotonic(), timeout_s=FRAME_TIMEOUT_S)
    began_at = time.monotonic()
    while (passed_s := time.monotonic() - began_at) < RATE_S or last is first:
        last = camera.grab(not_before=time.monotonic(), timeout_s=FRAME_TIMEOUT_S)
    return (last.sequence - first.sequence) / passed_s
