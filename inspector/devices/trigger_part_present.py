"""The picture itself is the trigger: a part has come into view of the station's own camera."""

import logging
import math
import time
from pathlib import Path
from typing import Literal

from inspector.contract.errors import ConfigError, DeviceTimeout, FrameError
from inspector.contract.image import Image
from inspector.contract.result import InspectionResult
from inspector.contract.status import TriggerStatus
from inspector.devices.camera_replay import read_image
from inspector.station.ports import Camera, Part
from inspector.station.presence import Presence, PresenceRule

SAY_EVERY_S = 10.0
BLIND_S = 3.0
"""Without a frame for so long it is blind: one is up to 2 s old when it comes (`latency_ms`)."""
OCCUPIED_S = 300.0
"""A scene that was not empty for so long is said: its light may not be that of `empty`."""

log = logging.getLogger(__name__)


class PartPresentSettings(PresenceRule):
    kind: Literal["part_present"] = "part_present"
    empty: Path
    """A picture of the scene without a part: `inspector commission STATION.TOML --empty FILE`.
    Learned at the start instead, a part that stands there then would be taken for the scene."""


class PartPresentTrigger:
    """ports.Trigger. It shares the camera with the cycle, on the station's thread.

    The part is judged by the next frame, exposed after the one that told of it: its time is that
    one's exposure, so that nothing between the two is left out of its deadline.
    """

    missed = 0

    def __init__(self, settings: PartPresentSettings, camera: Camera) -> None:
        """Raises ConfigError where the picture of the empty scene cannot be read."""
        try:
            empty = read_image(settings.empty, str(settings.empty))
        except FrameError as error:
            words = f"take one: inspector commission STATION.TOML --empty {settings.empty}"
            raise ConfigError(f"trigger.empty: {error}; {words}") from None
        self._camera = camera
        self._presence = Presence(settings, empty)
        self._sequence = 0
        self._said_at = float("-inf")
        self._saw_at = self._empty_at = self._unseen_from = time.monotonic()
        self.trouble: str | None = None

    @property
    def status(self) -> TriggerStatus:
        return TriggerStatus(kind="part_present", trouble=self.trouble)

    def require(self, image: Image) -> None:
        """Raises ValueError where pictures of this size cannot be held against the empty scene."""
        self._presence.require_size(image)

    def restart(self) -> None:
        self._presence.restart()
        self._saw_at = self._empty_at = self._unseen_from = time.monotonic()

    def pause(self) -> None: ...

    def wait(self, timeout_s: float) -> Part | None:
        """Every frame once: the newest, or the next to come, for as long as there is time.

        A frame may take longer than one wait, and may be older than that when it comes: so what is
        asked of it is not that this wait had begun, but that nobody has looked at it yet.
        """
        end = time.monotonic() + timeout_s
        while True:
            now = time.monotonic()
            if now >= end:
                return None
            try:
                frame = self._camera.grab(not_before=self._unseen_from, timeout_s=end - now)
                self._unseen_from = math.nextafter(frame.exposed_at, math.inf)
                fires = self._presence.see(frame.image, frame.exposed_at)
            except DeviceTimeout as error:
                if now - self._saw_at > BLIND_S:
                    self._says(str(error))
                return None
            except FrameError as error:
                self._unseen_from = time.monotonic()  # what was asked for has come, and is none
                self._says(str(error))
                continue
            except ValueError as error:
                self._says(str(error))
                continue
            self._saw_at = now
            if not self._presence.occupied:
                self._empty_at = now
            occupied_s = now - self._empty_at
            self.trouble = None
            if occupied_s > OCCUPIED_S:
                self._says(
                    f"the scene was not empty for {occupied_s:.0f} s: has its light changed?"
                )
            if fires:
                self._sequence += 1
                return Part(self._sequence, None, self._unseen_from)

    def overtaken(self, part: Part, by: float, picture: Image) -> str | None:  # noqa: ARG002
        """It sees no more than the picture in hand: whether a part lies there, not which.

        For the next part the recipe's frame_timeout_ms is the bound.
        """
        return None if self._presence.shows_a_part(picture) else "a scene without it"

    def done(self, part: Part, result: InspectionResult | None) -> None:  # noqa: ARG002 - or not
        self._saw_at = time.monotonic()  # while it was in work nobody looked

    def end(self) -> int:
        return 0

    def _says(self, words: str) -> None:
        """Without pictures no part is seen: that is more than a log line."""
        self.trouble = words
        if time.monotonic() - self._said_at >= SAY_EVERY_S:
            self._said_at = time.monotonic()
            log.warning("trigger: no part can be seen: %s", words)
