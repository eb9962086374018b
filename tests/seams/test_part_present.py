"""The picture as the trigger, by cameras that are slow, late or exposed on request."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import cv2
import pytest
from pydantic import SecretStr

from inspector.bench import NoArchive, NoPublisher
from inspector.clock import SystemClock
from inspector.contract.errors import DeviceTimeout
from inspector.contract.verdict import Limits
from inspector.delivery.journal import Journal, JournalSettings
from inspector.devices.camera_opencv import OpenCvSettings, opencv_camera
from inspector.devices.capture_process import ProcessCamera
from inspector.devices.quiet import quiet_cv2
from inspector.devices.trigger_part_present import (
    BLIND_S,
    PartPresentSettings,
    PartPresentTrigger,
)
from inspector.runtime.loader import open_runtime
from inspector.station.cycle import GRAB_TURN_S, Gear, Job, inspect_part
from inspector.station.loop import WAIT_S
from inspector.station.ports import Frame, Part
from inspector.station.recipe import Recipe
from tests.sources import Booth, booth_camera
from tests.streams import MjpegServer
from tests.support import GREY, make_bundle, until


class Scene:
    """A camera, the trigger that shares it, and the parts that were seen."""

    def __init__(self, camera: ProcessCamera, put: Callable[[bool], None], folder: Path) -> None:
        """put: a part into the view, or away from it."""
        self.camera = camera
        self.put = put
        self.parts: list[Part] = []
        empty = camera.grab(not_before=time.monotonic(), timeout_s=30.0)
        cv2.imwrite(str(folder / "empty.png"), empty.image)
        # a stream's empty frames show the time in blocks
        settings = PartPresentSettings(empty=folder / "empty.png", contrast_min=60)
        self.trigger = PartPresentTrigger(settings, camera)
        self.trigger.restart()

    def look(self) -> bool:
        """One wait, as the station has it; whether a part was seen."""
        part = self.trigger.wait(WAIT_S)
        self.parts += [part] if part else []
        return part is not None

    def picture(self) -> Frame:
        """Of the part that was seen last, waited for in turns as the station does."""
        end = time.monotonic() + 30.0
        while True:
            try:
                return self.camera.grab(not_before=self.parts[-1].seen_at, timeout_s=GRAB_TURN_S)
            except DeviceTimeout:
                if time.monotonic() > end:
                    raise


CAMERAS = {
    "slow": Booth(Path(), period_s=0.15, on_request=False),
    "late": Booth(Path(), period_s=0.04, on_request=False, latency_s=0.25),
    "on request": Booth(Path(), period_s=0.15),
    "one a second": Booth(Path(), period_s=1.2, on_request=False),
}


@pytest.fixture(params=["stream", "slow", "late", "on request"])
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scene]:
    if request.param == "stream":
        quiet_cv2()
        server = MjpegServer().start()
        # its latency_ms, 100, is longer than a wait
        camera = opencv_camera(OpenCvSettings(url=SecretStr(server.url)))
        camera.open()
        yield Scene(camera, lambda there: (server.part.clear, server.part.set)[there](), tmp_path)
        camera.close()
        server.kill()
        return
    booth = replace(CAMERAS[request.param], folder=tmp_path)
    camera = booth_camera(booth)
    yield Scene(camera, lambda there: booth.holds_a_part(now=there), tmp_path)
    camera.close()


def test_every_part_is_seen_once_and_judged_by_a_picture_of_it(scene: Scene) -> None:
    assert not any(scene.look() for _ in range(5)), "nothing lies there"
    for count in (1, 2):
        put_at = time.monotonic()
        scene.put(True)
        assert until(scene.look), scene.trigger.trouble
        (part,) = scene.parts[count - 1 :]
        frame = scene.picture()
        assert put_at <= part.seen_at <= frame.exposed_at
        assert frame.image[24, 32].min() > GREY + 60
        scene.trigger.done(part, None)
        scene.put(False)
        assert until(lambda: scene.look() or not scene.trigger._presence.occupied)
        assert scene.trigger.trouble is None
    assert len(scene.parts) == 2


@pytest.mark.parametrize("scene", ["late"], indirect=True)
def test_a_picture_from_before_the_start_shows_no_part(scene: Scene) -> None:
    scene.put(True)
    time.sleep(1.0)
    started_at = time.monotonic()
    scene.trigger.restart()
    assert until(scene.look)
    assert scene.parts[0].seen_at > started_at + scene.trigger._presence._rule.still_ms / 1000


@pytest.mark.parametrize("scene", ["one a second"], indirect=True)
def test_a_camera_of_one_frame_a_second_is_slow_and_not_blind(scene: Scene) -> None:
    end = time.monotonic() + 3.0
    while time.monotonic() < end:
        scene.look()
        assert scene.trigger.trouble is None


@pytest.mark.parametrize("scene", ["slow"], indirect=True)
def test_a_camera_that_gives_nothing_any_more_is_said_in_even_words(scene: Scene) -> None:
    assert scene.camera.pid is not None
    os.kill(scene.camera.pid, signal.SIGSTOP)
    words = set()
    end = time.monotonic() + 1.0
    while time.monotonic() < end:
        with pytest.raises(DeviceTimeout) as late:
            scene.camera.grab(not_before=end, timeout_s=0.0999997)
        words.add(str(late.value))
    assert words == {"the camera: no frame within 0.1 s"}

    def is_blind() -> bool:
        if scene.camera.pid is not None:  # a new one may be there sooner than it is called blind
            with suppress(ProcessLookupError):
                os.kill(scene.camera.pid, signal.SIGSTOP)
        return scene.look() or scene.trigger.trouble is not None

    assert until(is_blind)


@pytest.mark.parametrize("scene", ["on request"], indirect=True)
def test_a_camera_is_not_blind_because_a_part_was_long_in_work(scene: Scene) -> None:
    scene.put(True)
    assert until(scene.look)
    time.sleep(1.1 * BLIND_S)
    scene.trigger.done(scene.parts[0], None)
    scene.look()
    assert scene.trigger.trouble is None


def test_a_spoiled_frame_is_said_and_the_next_is_exposed(tmp_path: Path) -> None:
    booth = replace(CAMERAS["on request"], folder=tmp_path)
    camera = booth_camera(booth)
    scene = Scene(camera, lambda there: booth.holds_a_part(now=there), tmp_path)
    booth.spoils(now=True)
    assert until(lambda: scene.look() or camera.spoiled >= 2)
    assert "a frame is not whole" in (scene.trigger.trouble or "")
    booth.spoils(now=False)
    scene.put(True)
    assert until(scene.look), scene.trigger.trouble
    assert scene.trigger.trouble is None
    camera.close()


@pytest.mark.parametrize("scene", ["on request"], indirect=True)
def test_a_part_that_is_gone_from_its_picture_is_not_passed_by_the_empty_scene(
    scene: Scene, tmp_path: Path
) -> None:
    bundle = make_bundle(tmp_path / "bundles")
    lets_all_pass = Limits(review_at=1.0, reject_at=1.0)  # as a model to which a belt looks good
    recipe = Recipe(name="tiny", bundle=bundle.id, deadline_ms=5_000, limits=lets_all_pass)
    job = Job(recipe, open_runtime(bundle))
    journal = Journal(JournalSettings(path=tmp_path / "journal.db", disk_free_min_mb=0))
    gear = Gear("test", "boot", scene.camera, journal, NoArchive(), NoPublisher(), SystemClock())
    found = []
    for stays in (True, False):
        scene.put(True)
        assert until(scene.look)
        scene.put(stays)
        part, overtaken = scene.parts[-1], scene.trigger.overtaken
        found.append(inspect_part(part, job, gear, None, 0.0, overtaken=overtaken).result)
        scene.trigger.done(part, None)
        scene.put(False)
        assert until(lambda: scene.look() or not scene.trigger._presence.occupied)
    journal.close()
    assert [(each.passed, each.cause) for each in found] == [(True, None), (False, "trigger")]
    assert "a scene without it came before this part's picture" in found[1].reason
