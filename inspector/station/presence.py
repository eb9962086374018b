"""Is a part in view? The picture against the empty scene: pure decisions on reduced frames.

A part fires once: when it stands still (or, if asked, lies wholly in view) for a few frames after
the scene has changed. The next one can fire only after the scene was empty again.

Slow light is followed: while the scene is empty, cell by cell; while a part is in view, by the
cells it leaves free, as one shift for all. A sudden change of light looks like a part: it fires
once, and attestation or the model rejects it, which is the safe side.
"""

from enum import Enum
from typing import Annotated, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from inspector.contract.image import Image
from inspector.contract.strict import Strict

WIDTH = 64
"""Cells across; a part should cover several of them."""
FOLLOW_S = 5.0
"""Time constant with which the empty scene follows the light."""
LEAVE_SHARE = 0.5
"""Below this share of what makes a part, the scene is empty again: no flutter at the limit."""

MOVED_SHARE = 0.1
"""Of what makes a part: its edges betray one that moves."""

Plane = NDArray[np.float32]


class PresenceRule(Strict):
    area_min: Annotated[float, Field(gt=0.0, le=1.0)] = 0.05
    """Share of the picture that must differ from the empty scene."""
    contrast_min: Annotated[float, Field(gt=0.0, le=255.0)] = 12.0
    """Grey levels by which a cell must differ."""
    fires_when: Literal["still", "in_view"] = "still"
    """still: the part does not move any more. in_view: it touches no edge of the picture, for
    belts that never stop; a part as large as the picture never does that."""
    frames: Annotated[int, Field(ge=2, le=100)] = 3
    """So many frames in a row must agree, before it fires and before it is ready for the next."""
    still_ms: Annotated[int, Field(ge=0, le=10_000)] = 300
    """So long it must stand. What moves less than a tenth of `area_min` in that time counts as
    still: a slow belt needs longer."""


class _Phase(Enum):
    EMPTY = "empty"
    COMES = "comes"
    PRESENT = "present"


class Presence:
    """Shown every frame in order; says at which one there is a part to inspect."""

    def __init__(self, rule: PresenceRule, empty: Image) -> None:
        """empty: the scene without a part."""
        self._rule = rule
        self._learned = reduced(empty)
        self._size = empty.shape[:2]
        self.restart()

    def restart(self) -> None:
        """Forget what was seen, and every light that was followed."""
        self._empty = self._learned
        self._phase = _Phase.EMPTY
        self._stood: tuple[Plane, float] | None = None
        """The frame since which nothing has moved, and when it was exposed."""
        self._seen_at: float | None = None
        self._agreed = 0

    @property
    def occupied(self) -> bool:
        return self._phase is not _Phase.EMPTY

    def see(self, image: Image, at: float) -> bool:
        """Whether this frame, exposed `at` (seconds), shows a part that was not told before.

        Raises ValueError where it is of another size than the empty scene.
        """
        self.require_size(image)
        cells = reduced(image)
        changed = np.abs(cells - self._empty) >= self._rule.contrast_min
        share = float(changed.mean())
        fires = self._step(share, settled=self._settled(cells, changed, at))
        self._follow(cells, changed, at)
        self._seen_at = at
        return fires

    def require_size(self, image: Image) -> None:
        """Raises ValueError where it is of another size than the empty scene."""
        if image.shape[:2] != self._size:
            (high, wide), (empty_high, empty_wide) = image.shape[:2], self._size
            raise ValueError(
                f"the picture is {wide}x{high}, the empty scene {empty_wide}x{empty_high}"
            )

    def shows_a_part(self, image: Image) -> bool:
        """Whether the scene is not empty in it; nothing is learned or told by that."""
        if image.shape[:2] != self._size:
            return False
        changed = np.abs(reduced(image) - self._empty) >= self._rule.contrast_min
        return bool(changed.mean() >= LEAVE_SHARE * self._rule.area_min)

    def _step(self, share: float, *, settled: bool) -> bool:
        there = share >= self._rule.area_min
        gone = share < LEAVE_SHARE * self._rule.area_min
        if self._phase is _Phase.EMPTY and there:
            self._phase, self._agreed = _Phase.COMES, 0
        elif self._phase is _Phase.COMES:
            if gone:
                self._phase = _Phase.EMPTY
            self._agreed = self._agreed + 1 if there and settled else 0
            if self._agreed >= self._rule.frames:
                self._phase, self._agreed = _Phase.PRESENT, 0
                return True
        elif self._phase is _Phase.PRESENT:
            self._agreed = self._agreed + 1 if gone else 0
            if self._agreed >= self._rule.frames:
                self._phase, self._agreed = _Phase.EMPTY, 0
        return False

    def _settled(self, cells: Plane, changed: NDArray[np.bool_], at: float) -> bool:
        if self._rule.fires_when == "in_view":
            edges = (changed[0], changed[-1], changed[:, 0], changed[:, -1])
            return not any(edge.any() for edge in edges)
        # held against where it stood, not against the frame before: that would let it creep
        before, since = self._stood or (cells, at)
        moved = np.abs(cells - before) >= self._rule.contrast_min
        if self._stood is None or moved.mean() >= MOVED_SHARE * self._rule.area_min:
            self._stood = cells, at
            return False
        return at - since >= self._rule.still_ms / 1000

    def _follow(self, cells: Plane, changed: NDArray[np.bool_], at: float) -> None:
        if self._seen_at is None:
            return
        share = min(1.0, max(0.0, at - self._seen_at) / FOLLOW_S)
        if self._phase is _Phase.EMPTY:
            # never what looks like a part, however slowly it comes
            free = np.where(changed, 0.0, cells - self._empty).astype(np.float32)
            self._empty = self._empty + np.float32(share) * free
        elif not changed.all():
            light = np.float32(np.median((cells - self._empty)[~changed]))
            self._empty = self._empty + np.float32(share) * light


def reduced(image: Image) -> Plane:
    """Grey cells, each the mean of its pixels."""
    height, width = image.shape[:2]
    size = (min(WIDTH, width), max(1, round(height * min(WIDTH, width) / width)))
    cells = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.float32)
    return cells.mean(axis=2) if cells.ndim == 3 else cells
