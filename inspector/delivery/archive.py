"""Images on a disk area with a cap. They may be dropped, results never; every drop is counted.

Beside a picture lies where its bundle saw a defect, if it can tell: it comes before its picture,
which alone is counted and named, and goes with it.
"""

import base64
import logging
import os
import random
import threading
import time
import weakref
from contextlib import suppress
from pathlib import Path
from queue import Empty, Full, Queue
from typing import Annotated, Literal

import cv2
from pydantic import Field

from inspector.contract.command import Picture
from inspector.contract.defect_map import RegionMaps, file_of
from inspector.contract.image import Image
from inspector.contract.strict import Strict
from inspector.contract.verdict import Evaluation
from inspector.delivery.kept import MAP, SUFFIX, fitted, is_file_name, read_kept
from inspector.delivery.own_folder import claim

log = logging.getLogger(__name__)

MB = 1_000_000
PART = ".part"
LOOK_S = 0.2
DRAIN_S = 5.0


class ArchiveSettings(Strict):
    """Which images are kept, and how much room they may take."""

    folder: Path
    """Only ever this archive's: the oldest pictures in it are deleted."""
    size_max_mb: Annotated[int, Field(ge=1, le=10_000_000)] = 1_024
    keep: Literal["all", "not_ok", "none"] = "not_ok"
    """not_ok: of every part that did not pass."""
    keep_ok_share: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    """With not_ok: share of the parts that passed, drawn at random, whose pictures are kept too,
    for people to review: the only look at what nothing was suspicious about."""
    jpeg_quality: Annotated[int, Field(ge=1, le=100)] = 90
    queue_max: Annotated[int, Field(ge=1, le=1_000)] = 16
    """Images waiting to be written; each holds a whole frame in memory."""
    disk_free_min_mb: Annotated[int, Field(ge=0, le=1_000_000)] = 500
    """With less than this free, images are dropped. Above the journal's limit, or the images
    would stop the line."""


class ImageArchive:
    """ports.Archive, with a thread of its own for encoding and writing."""

    def __init__(self, settings: ArchiveSettings, key: str = "archive.folder") -> None:
        """key: what its folder is called in the settings.

        Raises ConfigError for a folder that holds somebody else's files, InUseError for one that
        is another archive's now.
        """
        self._settings = settings
        self._folder = settings.folder
        self._root = os.fspath(settings.folder)
        self._queue: Queue[tuple[str, Image, RegionMaps | None]] = Queue(settings.queue_max)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._sizes: dict[str, int] = {}  # with their maps, by name without ending, oldest first
        self._total = 0
        self._refused = 0  # written by who offers
        self._failed = 0  # written by the archive's thread
        self._complained = False
        self._next_wanted = False
        self.maps_dropped = 0
        """Maps that held what is no number since the start: their pictures were kept without."""
        held = self._claim(key)
        self._let_go = weakref.finalize(self, os.close, held) if held is not None else None

    @property
    def dropped(self) -> int:
        """Images offered since the start that were not kept for want of time or room."""
        return self._refused + self._failed

    def keeps(self, evaluation: Evaluation) -> bool:
        """Whether the image of a part judged so is wanted; of those that passed, some by lot, and
        the next one after somebody asked for a picture that was not kept."""
        if self._next_wanted and self._settings.keep != "none":
            self._next_wanted = False
            return True
        if self._settings.keep == "not_ok":
            share = self._settings.keep_ok_share
            return evaluation is not Evaluation.OK or random.random() < share  # noqa: S311
        return self._settings.keep == "all"

    def offer(self, name: str, image: Image, maps: RegionMaps | None = None) -> None:
        """Take the image, which nobody may change afterwards, to be kept as `name`.jpg, and where
        its bundle saw a defect as `name`.map.png.

        Never blocks: with the queue full the image is dropped and counted, as is one whose name
        would not stay in the folder.
        """
        try:
            if not is_file_name(name) or self._stopping.is_set():
                raise Full
            self._queue.put_nowait((name, image, maps))
        except Full:
            self._refused += 1

    def picture(self, result_id: str) -> Picture | str:
        """The kept picture of a result, small enough for a message; else why there is none.

        Any thread may ask. Nothing but this archive's own pictures can be named.
        """
        try:
            jpeg, scale = fitted(read_kept(self._folder, result_id))
        except ValueError:
            return "that is no result_id"
        except FileNotFoundError:
            self._next_wanted = True  # who looks at the camera wants any part's
            return (
                f"no picture of {result_id} is kept, or not yet (archive.keep, size_max_mb); "
                f"{'none ever is' if self._settings.keep == 'none' else 'the next part has one'}"
            )
        except (OSError, cv2.error) as error:
            words = getattr(error, "strerror", None) or "it is no picture, or not a whole one"
            return f"the picture of {result_id} cannot be read: {words}"
        text = base64.b64encode(jpeg).decode()
        return Picture(result_id=result_id, jpeg=text, scale=scale)

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="archive", daemon=True)
        self._thread.start()

    def alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def stop(self) -> None:
        """Write what waits, for a few seconds at most; the rest is dropped and counted."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(DRAIN_S + 2.0)
        if self._let_go is not None:
            self._let_go()

    def _claim(self, key: str) -> int | None:
        """The folder as ours. One that cannot be written is not fatal: images may drop."""
        try:
            return claim(self._folder, key)
        except OSError as error:
            self._complain(error.strerror or str(error))
            return None

    def _run(self) -> None:
        self._count_what_is_there()
        end = float("inf")
        while True:
            try:
                name, image, maps = self._queue.get(timeout=LOOK_S)
            except Empty:
                if self._stopping.is_set():
                    return
                continue
            if self._stopping.is_set() and end == float("inf"):
                end = time.monotonic() + DRAIN_S
            if time.monotonic() > end:
                self._failed += 1
            else:
                self._keep(name, image, maps)

    def _count_what_is_there(self) -> None:
        """Pictures of earlier runs fall under the cap too; half-written ones go, and maps without
        a picture.
        """
        found: list[tuple[int, str, int]] = []
        maps: dict[str, int] = {}
        try:
            with os.scandir(self._folder) as entries:
                for entry in entries:
                    self._count(entry, found, maps)
            for name in maps.keys() - {name for _, name, _ in found}:
                self._delete(name + MAP)
        except OSError as error:
            self._complain(error.strerror or str(error))
        self._sizes = {name: size + maps.get(name, 0) for _, name, size in sorted(found)}
        self._total = sum(self._sizes.values())
        self._make_room(0)

    def _count(
        self, entry: os.DirEntry[str], found: list[tuple[int, str, int]], maps: dict[str, int]
    ) -> None:
        """One that cannot be looked at, or that somebody deletes now, hides none of the others."""
        with suppress(OSError):
            if entry.name.endswith(PART):
                Path(entry.path).unlink()
            elif not entry.is_file(follow_symlinks=False):
                return
            elif entry.name.endswith(MAP):
                maps[entry.name.removesuffix(MAP)] = entry.stat().st_size
            elif entry.name.endswith(SUFFIX):
                status, name = entry.stat(), entry.name.removesuffix(SUFFIX)
                found.append((status.st_mtime_ns, name, status.st_size))

    def _keep(self, name: str, image: Image, maps: RegionMaps | None = None) -> None:
        drawn = self._drawn(image, maps)
        try:
            disk = os.statvfs(self._folder)
            if disk.f_bavail * disk.f_frsize < self._settings.disk_free_min_mb * MB:
                raise OSError(f"less than disk_free_min_mb {self._settings.disk_free_min_mb} free")
            options = [cv2.IMWRITE_JPEG_QUALITY, self._settings.jpeg_quality]
            encoded, data = cv2.imencode(SUFFIX, image, options)
            size = len(data) + len(drawn)
            if not encoded or not self._make_room(size):
                raise OSError("the picture cannot be encoded, or has no room")
            if drawn:
                self._write(name + MAP, drawn)
            self._write(name + SUFFIX, data.tobytes())
        except (OSError, cv2.error) as error:
            with suppress(OSError):
                self._delete(name + MAP)
            self._failed += 1
            self._complain(getattr(error, "strerror", None) or str(error))
            return
        self._complained = False
        self._total += size - self._sizes.pop(name, 0)
        self._sizes[name] = size

    def _drawn(self, image: Image, maps: RegionMaps | None) -> bytes:
        """The file of where the defect is; empty where there is none."""
        data = file_of(maps, image.shape[1], image.shape[0]) if maps else b""
        if data is None:
            self.maps_dropped += 1
            if self.maps_dropped == 1:
                log.warning("archive %s: a model's map is no map: left out", self._folder)
        return data or b""

    def _write(self, name: str, data: bytes) -> None:
        """Whole or not at all. No fsync: a power cut may cost the last pictures, not the station
        its time. Raises OSError.
        """
        part = self._place(name + PART)
        try:
            with open(part, "wb") as file:  # noqa: PTH123 - as _place says
                file.write(data)
            os.replace(part, self._place(name))  # noqa: PTH105
        except OSError:
            with suppress(OSError):
                self._delete(name + PART)
            raise

    def _make_room(self, size: int) -> bool:
        """Delete the oldest until `size` more bytes fit below the cap."""
        cap = self._settings.size_max_mb * MB
        while self._sizes and self._total + size > cap:
            oldest = next(iter(self._sizes))
            try:
                self._delete(oldest + SUFFIX)
                self._delete(oldest + MAP)
            except OSError as error:
                self._complain(f"{oldest} cannot be deleted: {error.strerror}")
                return False
            self._total -= self._sizes.pop(oldest)
        return self._total + size <= cap

    def _delete(self, name: str) -> None:
        """One that is gone already is no error. Raises OSError."""
        with suppress(FileNotFoundError):
            os.unlink(self._place(name))  # noqa: PTH108

    def _place(self, name: str) -> str:
        """Of a picture's file. Not by pathlib: it interns every name it is given, and the table of
        interned strings never shrinks (a station of 30 parts/s grew by 2.8 MB in half an hour).
        """
        return f"{self._root}/{name}"

    def _complain(self, words: str) -> None:
        """Once, until a picture could be kept again."""
        if not self._complained:
            log.warning("archive %s: images are dropped: %s", self._folder, words)
        self._complained = True
