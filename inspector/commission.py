"""`inspector commission`: learns from good parts what a frame must be, and writes it in the recipe.

**How a limit is found.** For each figure, from n good parts: the median, and how far the values
spread on that side of it, as a standard deviation, by the larger of the median absolute deviation
and the 5 or 95 % quantile; as logarithms where the figure is a ratio or a light. The limit is 4.5
of these away, and at least a third farther than the farthest part seen (of 50 parts the farthest is
beyond all but 2 %, and the goal is one false alarm in a thousand); never nearer than a floor. For
light it is six and a half more: good parts differ most in it, and its faults are gross.

**Landmarks** are pieces of the picture that every good part shows alike, in the same place: of the
pieces with most contrast, the best of each quarter of the picture is taken whose likeness to the
median picture holds over all parts. Where fewer than two are found, nothing fixed is in view:
the recipe gets no shift_px and no match, and the report says so.

**What it catches** is tried at once: the good pictures are spoilt in every way of `badframes.py`.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from inspector.badframes import bad_frames
from inspector.build_devices import build_camera, build_trigger, open_camera
from inspector.commission_recipe import require_writable, write_recipe
from inspector.commission_sheet import draw, write_sheet
from inspector.contract.errors import (
    ConfigError,
    DeviceError,
    DeviceTimeout,
    EndOfStream,
    FrameError,
)
from inspector.contract.image import Image
from inspector.delivery.trigger_mqtt import MqttTrigger
from inspector.devices.camera_replay import names_in, read_image, shown
from inspector.devices.trigger_command import CommandTriggerSettings
from inspector.landmarks import landmarks
from inspector.settings import Settings, read_recipe, read_settings
from inspector.station.attest import attest, figures, reduced, registration
from inspector.station.attest_rule import (
    LANDMARK,
    Attest,
    Plane,
    Range,
    View,
    reference_of,
    reference_text,
)

PARTS_MIN = 20
SPREADS, BEYOND = 4.5, 1 / 3
LIGHT = ("brightness", "colour", "cast")
LIGHT_SPREADS, LIGHT_BEYOND = 6.0, 1 / 2
LANDMARKS_MIN = 2
LOGARITHMIC = ("sharpness", "detail", "brightness")
LOWER = ("sharpness", "detail", "brightness", "colour", "cast", "match")
UPPER = ("brightness", "dark", "bright", "blank", "colour", "cast", "shift_px")
FLOOR = {
    "sharpness": 0.03,
    "detail": 0.03,
    "brightness": 0.05,
    "dark": 0.5,
    "bright": 0.5,
    "blank": 0.03,
    "colour": 3.0,
    "cast": 3.0,
    "shift_px": 2.0,
    "match": 0.05,
}
"""Nearer than this to the median no limit is set; of a logarithm where that is taken. Half of
the pixels: single parts may shine or be dark, and few of them among n; brightness sees the rest."""
TRIED = 20
WAIT_S = 1.0
QUIET_S = 60.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Learned:
    """What the good parts taught."""

    rule: Attest
    figures: dict[str, list[float]]
    """Of every part, under the rule's reference where there is one."""
    left_out: str
    """Why there is no registration; empty where there is."""
    caught: dict[str, tuple[int, int]]
    """Fault -> (rejected, tried)."""


def from_folder(folder: Path, parts: int) -> list[Image]:
    """The first good parts of a folder. Raises DeviceError, FrameError."""
    names = names_in(folder)[:parts]
    return _enough([read_image(folder / name, shown(name)) for name in names], str(folder))


def from_camera(settings: Settings, parts: int) -> list[Image]:
    """Parts as they come by, by the station's own camera and trigger.

    One whose frame does not come, or cannot be read, is left out and told. Raises DeviceError.
    """
    if isinstance(settings.trigger, CommandTriggerSettings):
        raise ConfigError("commission: nobody triggers parts here: use --folder")
    camera = build_camera(settings.camera)
    trigger = build_trigger(settings, camera, as_client="commission")
    images: list[Image] = []
    where = "the camera"
    lost, why, quiet_since = 0, "", time.monotonic()
    try:
        open_camera(camera)
        if isinstance(trigger, MqttTrigger):
            trigger.start()
        trigger.restart()
        while len(images) < parts:
            if time.monotonic() - quiet_since >= QUIET_S:
                where = f"{QUIET_S:g} s without a picture"
                break
            part = trigger.wait(WAIT_S)
            if part is None or part.refused is not None:
                continue
            try:
                frame = camera.grab(not_before=part.seen_at, timeout_s=WAIT_S)
            except (DeviceTimeout, FrameError) as error:
                lost, why = lost + 1, str(error)
                continue
            finally:
                trigger.done(part, None)  # else what comes from now on came while it was in work
            images.append(frame.image.copy())
            quiet_since = time.monotonic()
    except EndOfStream:
        pass
    finally:
        camera.close()
        if isinstance(trigger, MqttTrigger):
            trigger.stop()
    if lost:
        log.warning("%d parts without a picture, the last: %s", lost, why)
    return _enough(images, where)


def _enough(images: list[Image], where: str) -> list[Image]:
    """Those that tell something new: of copies, or a stuck grabber's frames, nothing scatters."""
    own = list({(each.shape, sha256(each.tobytes()).digest()): each for each in images}.values())
    came = f"{len(images)} parts"
    if len(own) < len(images):
        came += f" came, {len(own)} with a picture of its own"
        log.warning("%s: %s", where, came)
    if len(own) < PARTS_MIN:
        raise DeviceError(f"{where}: {came}, at least {PARTS_MIN} are needed")
    return own


def learn(images: Sequence[Image]) -> Learned:
    """Reference and limits from pictures of good parts."""
    small = [reduced(image) for image in images]
    found = [figures(image, None) for image in images]
    names = [name for name in found[0] if all(name in each for each in found)]
    values = {name: [each[name] for each in found] for name in names}
    text, left_out = _view(images, small)
    marks: tuple[tuple[int, int], ...] = ()
    if text:
        reference = reference_of(text)
        marks = landmarks(small, reference)
        if len(marks) < LANDMARKS_MIN:
            text, marks = None, ()
            left_out = "nothing in the picture stays the same from part to part"
        else:
            scale = images[0].shape[1] / reference.shape[1]
            found_at = [registration(each, View(reference, marks)) for each in small]
            values["shift_px"] = [shift * scale for shift, _ in found_at]
            values["match"] = [match for _, match in found_at]
    limits = {name: limit_of(name, seen) for name, seen in values.items()}
    rule = Attest.model_validate({**limits, "reference": text, "landmarks": marks})
    return Learned(rule, values, left_out, _tried(images, rule))


def limit_of(name: str, seen: Sequence[float]) -> Range:
    """The limits of one figure, from its values on good parts."""
    data = np.asarray(seen, float)
    if name in LOGARITHMIC:
        data = np.log(np.maximum(data, 1e-6))
    middle = float(np.median(data))
    deviation = 1.4826 * float(np.median(np.abs(data - middle)))
    low = max(deviation, (middle - float(np.quantile(data, 0.05))) / 1.645)
    high = max(deviation, (float(np.quantile(data, 0.95)) - middle) / 1.645)
    spreads, beyond = (LIGHT_SPREADS, LIGHT_BEYOND) if name in LIGHT else (SPREADS, BEYOND)
    below = max(spreads * low, (1 + beyond) * (middle - float(data.min())), FLOOR[name])
    above = max(spreads * high, (1 + beyond) * (float(data.max()) - middle), FLOOR[name])
    ends = middle - below, middle + above
    if name in LOGARITHMIC:
        ends = float(np.exp(ends[0])), float(np.exp(ends[1]))
    return Range(
        min=_four_digits(ends[0]) if name in LOWER else None,
        max=_four_digits(ends[1]) if name in UPPER else None,
    )


def _four_digits(value: float) -> float:
    return float(f"{value:.4g}")


def _view(images: Sequence[Image], small: list[Plane]) -> tuple[str | None, str]:
    """The median picture as text; or why there can be none."""
    if len({image.shape for image in images}) > 1:
        return None, "the pictures are not all of one size"
    if min(small[0].shape) < 2 * LANDMARK:
        return None, "the pictures are too small"
    return reference_text(np.median(np.stack(small), axis=0)), ""


def _tried(images: Sequence[Image], rule: Attest) -> dict[str, tuple[int, int]]:
    caught: dict[str, tuple[int, int]] = {}
    for image in images[:: max(1, len(images) // TRIED)]:
        for name, spoilt in bad_frames(image):
            rejected, tried = caught.get(name, (0, 0))
            caught[name] = rejected + (attest(spoilt, rule).fault is not None), tried + 1
    return caught


def run(station: Path, parts: int, folder: Path | None, out: Path | None) -> Iterator[str]:
    """Commission a station; what is found, line by line. Raises ConfigError, DeviceError."""
    if parts < PARTS_MIN:
        raise ConfigError(f"--parts {parts}: at least {PARTS_MIN} are needed")
    settings = read_settings(station)
    read_recipe(settings)  # its faults first, not after an hour of parts
    out = out or settings.recipe
    require_writable(settings.recipe, out)
    good = from_folder(folder, parts) if folder else from_camera(settings, parts)
    learned = learn(good)
    yield from report(learned)
    sheet = out.with_suffix(".attest.png")
    write_sheet(sheet, draw(good, learned.rule, learned.figures))
    write_recipe(settings.recipe, out, learned)  # last: no limits hold that nobody can look at
    yield f"\nwritten: {out}; look at {sheet} before the line runs"


def report(learned: Learned) -> Iterator[str]:
    """What was found, for a person."""
    n = len(next(iter(learned.figures.values())))
    yield f"{n} good parts"
    form = "{:<12} {:>10} {:>10} {:>10}   {}"
    yield form.format("figure", "least", "median", "most", "limits")
    for name, seen in learned.figures.items():
        limits = getattr(learned.rule, name)
        least, middle, most = np.quantile(seen, [0.0, 0.5, 1.0])
        yield form.format(name, f"{least:.4g}", f"{middle:.4g}", f"{most:.4g}", _said(limits))
    if learned.left_out:
        yield f"no shift_px and no match: {learned.left_out}"
    yield ""
    yield "the same parts, spoilt: rejected"
    for name, (rejected, tried) in learned.caught.items():
        missed = "" if rejected == tried else "   <- attestation does not see this"
        yield f"  {name:<22} {rejected:>3}/{tried}{missed}"


def _said(limits: Range) -> str:
    ends = [f"at least {limits.min:g}"] if limits.min is not None else []
    ends += [f"at most {limits.max:g}"] if limits.max is not None else []
    return ", ".join(ends)
