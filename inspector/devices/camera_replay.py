"""A folder of pictures as a camera: demos, tests, replay of an incident."""

import threading
import time
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, Full, Queue
from typing import Literal

from inspector.contract.errors import (
    ConfigError,
    DeviceError,
    DeviceTimeout,
    EndOfStream,
    FrameError,
)
from inspector.contract.image import Image, decode
from inspector.contract.pictures import pictures_in
from inspector.contract.strict import Strict
from inspector.station.ports import Frame

AHEAD_MAX = 2  # pictures decoded before they are asked for
LOOK_S = 0.1
FILE_BYTES_MAX = 500_000_000
_NO_TEXT = frozenset({"Cc", "Cs", "Zl", "Zp"})  # control characters, undecoded bytes, line ends


class ReplaySettings(Strict):
    """Pictures from a folder, one a part, named after their file."""

    kind: Literal["replay"] = "replay"
    folder: Path
    list_file: Path | None = None
    """Text file with one name a line, relative to `folder`: which pictures, in which order.

    Where it is left out: all of them, folders below included, by name.
    """
    loop: bool = False
    """Begin again after the last one; otherwise the station ends there."""


def read_image(path: Path, name: str) -> Image:
    """Decode one file as BGR. Raises FrameError, naming it, where it is not a picture."""
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise FrameError(f"{name}: is larger than {FILE_BYTES_MAX} bytes", name)
        data = path.read_bytes()
    except OSError as error:
        raise FrameError(f"{name}: cannot be read: {error.strerror}", name) from None
    except ValueError as error:  # a name no file can have
        raise FrameError(f"{name}: cannot be read: {error}", name) from None
    try:
        image = decode(data)
    except ValueError as error:
        raise FrameError(f"{name}: {error}", name) from None
    image.flags.writeable = False
    return image


def shown(name: str) -> str:
    """A file's name as it may stand in a message: bytes that are no text and line ends escaped."""
    return "".join(
        c.encode("unicode_escape").decode() if unicodedata.category(c) in _NO_TEXT else c
        for c in name
    )


def names_in(folder: Path) -> list[str]:
    """Every picture below the folder, by name. Raises DeviceError where there is no folder, or one
    in it cannot be looked into."""
    if not folder.is_dir():
        raise DeviceError(f"{folder}: there is no such folder")
    try:
        found = [path for path in pictures_in(folder) if path.is_file()]
    except OSError as error:
        raise DeviceError(f"{error.filename}: {error.strerror}") from None
    return sorted(path.relative_to(folder).as_posix() for path in found)


def require_pictures(settings: ReplaySettings, where: str) -> None:
    """What a station needs at its start; what goes away later is a device that is gone.

    No part is ever made of these pictures, so nobody stands at a line and waits for a network share
    (systemd's RequiresMountsFor= does that): one that is not there is a mistake in the settings.
    where: their file. Raises ConfigError.
    """
    if not settings.folder.is_dir():
        raise ConfigError(f"{where}: camera.folder {settings.folder}: there is no such folder")
    if settings.list_file is not None and not settings.list_file.is_file():
        raise ConfigError(f"{where}: camera.list_file {settings.list_file}: there is no such file")


class ReplayCamera:
    """Shows each picture once, as if it were exposed when it is asked for.

    A thread decodes ahead, so that a replay is as quick as a camera that has its frame ready.
    """

    simulated = True
    restarts = 0

    def __init__(self, settings: ReplaySettings) -> None:
        self._settings = settings
        self._sequence = 0
        self._reader: _Reader | None = None

    def open(self) -> None:
        """Begin at the first picture. Raises DeviceError where there is none."""
        if self._reader is not None:
            return
        names = self._names()
        if not names:
            raise DeviceError(f"{self._settings.folder}: there are no pictures in it")
        self._reader = _Reader(self._settings.folder, names, loop=self._settings.loop)

    def grab(self, *, not_before: float, timeout_s: float) -> Frame:
        if self._reader is None:
            raise DeviceError("the replay camera is not open")
        shown = self._reader.next(timeout_s)
        if isinstance(shown, FrameError | EndOfStream):
            raise shown
        name, image = shown
        self._sequence += 1
        return Frame(image, max(time.monotonic(), not_before), self._sequence, name)

    def close(self) -> None:
        if self._reader is not None:
            self._reader.stop()
            self._reader = None

    def _names(self) -> list[str]:
        list_file = self._settings.list_file
        if list_file is None:
            return names_in(self._settings.folder)
        try:
            lines = list_file.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DeviceError(f"{list_file}: cannot be read: {error}") from None
        return [line.strip() for line in lines if line.strip()]


class _Reader:
    """Decodes on a thread of its own, a few pictures ahead."""

    def __init__(self, folder: Path, names: list[str], *, loop: bool) -> None:
        self._folder = folder
        self._names = names
        self._loop = loop
        self._ahead: Queue[tuple[str, Image] | FrameError | EndOfStream] = Queue(AHEAD_MAX)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="replay", daemon=True)
        self._thread.start()

    def next(self, timeout_s: float) -> tuple[str, Image] | FrameError | EndOfStream:
        try:
            return self._ahead.get(timeout=max(0.0, timeout_s))
        except Empty:
            if not self._thread.is_alive():
                raise DeviceError("the thread that reads the pictures has died") from None
            raise DeviceTimeout(f"no picture could be decoded within {timeout_s:g} s") from None

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(timeout=5.0)

    def _run(self) -> None:
        for item in self._items():
            while not self._stopping.is_set():
                try:
                    self._ahead.put(item, timeout=LOOK_S)
                    break
                except Full:
                    continue
            if self._stopping.is_set():
                return

    def _items(self) -> Iterator[tuple[str, Image] | FrameError | EndOfStream]:
        while True:
            for name in self._names:
                try:
                    yield shown(name), read_image(self._folder / name, shown(name))
                except FrameError as error:
                    yield error
            if not self._loop:
                break
        while True:
            yield EndOfStream(f"all {len(self._names)} pictures were shown")
