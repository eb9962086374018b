"""Images on a disk area with a cap. They may be dropped, results never; every drop is counted."""

import base64
import logging
import os
import random
import threading
import time
from pathlib import Path
from queue import Empty, Full, Queue
from typing import Annotated, Literal

import cv2
import numpy as np
from pydantic import Field

from inspector.contract.command import PICTURE_BYTES_MAX, Picture
from inspector.contract.errors import ConfigError
from inspector.contract.image import Image
from inspector.contract.strict import Strict
from inspector.contract.verdict import Evaluation

log = logging.getLogger(__name__)

MB = 1_000_000
SUFFIX = ".jpg"
PART = ".part"
# Without it in a folder that is not empty, nothing there is ours to delete
MARK = ".inspector-archive"
LOOK_S = 0.2
DRAIN_S = 5.0
NAME_MAX = 200
READ_BYTES_MAX = 64_000_000


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

    def __init__(self, settings: ArchiveSettings) -> None:
        """Raises ConfigError for a folder that holds somebody else's files."""
        self._settings = settings
        self._folder = settings.folder
        self._root = os.fspath(settings.folder)
        self._queue: Queue[tuple[str, Image]] = Queue(settings.queue_max)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._sizes: dict[str, int] = {}  # by file name, oldest first
        self._total = 0
        self._refused = 0  # written by who offers
        self._failed = 0  # written by the archive's thread
        self._complained = False
        self._next_wanted = False
        self._claim()

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

    def offer(self, name: str, image: Image) -> None:
        """Take the image, which nobody may change afterwards, to be kept as `name`.jpg.

        Never blocks: with the queue full the image is dropped and counted, as is one whose name
        would not stay in the folder.
        """
        try:
            if not _is_file_name(name) or self._stopping.is_set():
                raise Full
            self._queue.put_nowait((name + SUFFIX, image))
        except Full:
            self._refused += 1

    def picture(self, result_id: str) -> Picture | str:
        """The kept picture of a result, small enough for a message; else why there is none.

        Any thread may ask. Nothing but this archive's own pictures can be named.
        """
        try:
            jpeg, scale = _fitted(read_kept(self._folder, result_id))
        except ValueError:
            return "that is no result_id"
        except FileNotFoundError:
            self._next_wanted = True  # who looks at the camera wants any part's
            return (
                f"no picture of {result_id} is kept, or not yet (archive.keep, size_max_mb); "
                f"{'none ever is' if self._settings.keep == 'none' else 'the next part has one'}"
            )
        except (OSError, cv2.error) as error:
            words = getattr(error, "strerror", None) or "is no picture"
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

    def _claim(self) -> None:
        """Mark the folder as ours. One that cannot be written is not fatal: images may drop."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            mark = self._folder / MARK
            if not mark.exists():
                if any(self._folder.iterdir()):
                    raise ConfigError(
                        f"archive.folder {self._folder}: holds files that are not the archive's, "
                        "which would delete the oldest: give it a folder of its own"
                    )
                mark.write_text("the oldest pictures in this folder are deleted\n")
        except OSError as error:
            self._complain(error.strerror or str(error))

    def _run(self) -> None:
        self._count_what_is_there()
        end = float("inf")
        while True:
            try:
                name, image = self._queue.get(timeout=LOOK_S)
            except Empty:
                if self._stopping.is_set():
                    return
                continue
            if self._stopping.is_set() and end == float("inf"):
                end = time.monotonic() + DRAIN_S
            if time.monotonic() > end:
                self._failed += 1
            else:
                self._keep(name, image)

    def _count_what_is_there(self) -> None:
        """Pictures of earlier runs fall under the cap too; half-written ones go."""
        found = []
        try:
            with os.scandir(self._folder) as entries:
                for entry in entries:
                    if entry.name.endswith(PART):
                        Path(entry.path).unlink()
                    elif entry.name.endswith(SUFFIX) and entry.is_file(follow_symlinks=False):
                        status = entry.stat(follow_symlinks=False)
                        found.append((status.st_mtime_ns, entry.name, status.st_size))
        except OSError as error:
            self._complain(error.strerror or str(error))
        self._sizes = {name: size for _, name, size in sorted(found)}
        self._total = sum(self._sizes.values())
        self._make_room(0)

    def _keep(self, name: str, image: Image) -> None:
        try:
            disk = os.statvfs(self._folder)
            if disk.f_bavail * disk.f_frsize < self._settings.disk_free_min_mb * MB:
                raise OSError(f"less than disk_free_min_mb {self._settings.disk_free_min_mb} free")
            options = [cv2.IMWRITE_JPEG_QUALITY, self._settings.jpeg_quality]
            encoded, data = cv2.imencode(SUFFIX, image, options)
            if not encoded or not self._make_room(len(data)):
                raise OSError("the picture cannot be encoded, or has no room")
            # no fsync: a power cut may cost the last pictures, not the station its time
            part = self._place(name + PART)
            with open(part, "wb") as file:  # noqa: PTH123 - as _place says
                file.write(data.tobytes())
            os.replace(part, self._place(name))  # noqa: PTH105
        except (OSError, cv2.error) as error:
            self._failed += 1
            self._complain(getattr(error, "strerror", None) or str(error))
            return
        self._complained = False
        self._total += len(data) - self._sizes.pop(name, 0)
        self._sizes[name] = len(data)

    def _make_room(self, size: int) -> bool:
        """Delete the oldest until `size` more bytes fit below the cap."""
        cap = self._settings.size_max_mb * MB
        while self._sizes and self._total + size > cap:
            oldest = next(iter(self._sizes))
            try:
                os.unlink(self._place(oldest))  # noqa: PTH108
            except FileNotFoundError:
                pass
            except OSError as error:
                self._complain(f"{oldest} cannot be deleted: {error.strerror}")
                return False
            self._total -= self._sizes.pop(oldest)
        return self._total + size <= cap

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


def read_kept(folder: Path, result_id: str) -> bytes:
    """The archive's own bytes of a result's picture, a JPEG.

    Raises ValueError for what is no result_id, FileNotFoundError, OSError.
    """
    if not _is_file_name(result_id):
        raise ValueError(result_id)
    # a link in the folder is not the archive's
    handle = os.open(folder / (result_id + SUFFIX), os.O_RDONLY | os.O_NOFOLLOW)
    with open(handle, "rb") as file:  # noqa: PTH123 - a descriptor
        return file.read(READ_BYTES_MAX)


def is_kept(folder: Path, result_id: str) -> bool:
    """Whether `read_kept` would find one now."""
    return _is_file_name(result_id) and (folder / (result_id + SUFFIX)).is_file()


def _is_file_name(name: str) -> bool:
    return 0 < len(name) <= NAME_MAX and not name.startswith(".") and not set(name) & set("/\\\0")


def _fitted(data: bytes) -> tuple[bytes, float]:
    """The same bytes, or a smaller JPEG of the same picture, and by which factor it is smaller.

    Raises OSError, cv2.error where they are no picture.
    """
    if len(data) <= PICTURE_BYTES_MAX:
        return data, 1.0
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise OSError("is no picture")
    scale = 1.0
    while len(data) > PICTURE_BYTES_MAX:
        scale *= 0.9 * min(1.0, (PICTURE_BYTES_MAX / len(data)) ** 0.5)
        small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        data = cv2.imencode(SUFFIX, small, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
    return data, scale
