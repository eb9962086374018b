"""The local command door: a socket in the state folder that only its owner can open.

One JSON message in, one line of JSON out. Who may write to it is a matter of the folder's and the
socket's permissions (0600); who did is asked of the kernel and stands in the audit line.
"""

import contextlib
import logging
import os
import pwd
import socket
import stat
import struct
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from inspector.contract.command import REPLY_BYTES_MAX, Command, Reply
from inspector.contract.errors import ConfigError, DeviceError
from inspector.contract.foreign import MESSAGE_BYTES_MAX
from inspector.supervise.commands import FINISH_S, LOAD_S, TAKE_S, Commands
from inspector.supervise.hands import Hands

log = logging.getLogger(__name__)

NAME = "command.sock"
READ_S = 5.0
LOOK_S = 0.5
WAITING_MAX = 8


class NotAllowed(DeviceError):  # noqa: N818 - the words for it
    """A station may be there: its user and root alone can ask it."""


class Door:
    """A thread that listens, and a few that follow: HALT does not wait for a bundle to load."""

    def __init__(self, folder: Path, commands: Commands) -> None:
        self._folder = folder
        self._commands = commands
        self._hands = Hands("command", WAITING_MAX)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="door", daemon=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._bound = False

    def start(self) -> None:
        """Raises ConfigError where the folder cannot hold a socket. Before other threads start:
        it sets the process's umask for a moment, so that the socket is never open to others.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with _address(self._folder) as address:
                require_place(self._folder)
                (self._folder / NAME).unlink(missing_ok=True)
                before = os.umask(0o177)
                try:
                    self._socket.bind(address)
                    self._bound = True
                finally:
                    os.umask(before)
        except OSError as error:
            raise ConfigError(f"{self._folder / NAME}: {error.strerror or error}") from None
        self._socket.listen(WAITING_MAX)
        self._socket.settimeout(LOOK_S)
        self._hands.start()
        self._thread.start()

    def alive(self) -> bool:
        return self._thread.is_alive() and self._hands.alive()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(2 * LOOK_S)
        self._hands.stop()
        self._socket.close()
        if self._bound:
            with contextlib.suppress(OSError):
                (self._folder / NAME).unlink()

    def _run(self) -> None:
        said = ""
        while not self._stopping.is_set():
            try:
                connection, _ = self._socket.accept()
            except TimeoutError:
                continue
            except OSError as error:  # no file or memory is left just now
                if (words := error.strerror or str(error)) != said:
                    log.warning("command door: %s: it is tried again", words)
                said = words
                self._stopping.wait(LOOK_S)
                continue
            said = ""
            if not self._hands.take(partial(self._answer, connection)):
                connection.close()  # who asks so often is not the person on shift

    def _answer(self, connection: socket.socket) -> None:
        try:
            with connection:
                connection.settimeout(READ_S)
                reply = self._commands.answer(_read(connection), _sender(connection))
                connection.sendall(reply.to_json() + b"\n")
        except OSError as error:  # who asked has gone, or says nothing
            log.warning("command door: %s", error)


def ask(folder: Path, command: Command) -> Reply:
    """Send one command to the station whose state folder this is, and wait for its reply.

    Raises DeviceError where nobody answers, NotAllowed where it cannot be known whether one would.
    """
    path = folder / NAME
    try:
        with _address(folder) as address, socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(READ_S + LOAD_S + TAKE_S + FINISH_S)
            connection.connect(address)
            connection.sendall(command.to_json() + b"\n")
            reply = _read(connection, REPLY_BYTES_MAX)
    except PermissionError as error:
        words = f"{path}: {error.strerror}: its station's user and root alone may ask it"
        raise NotAllowed(words) from None
    except OSError as error:
        why = error.strerror or error
        raise DeviceError(f"{path}: no station answers there ({why}): does it run?") from None
    if not reply:
        raise DeviceError(f"{path}: the station ended before it answered")
    return Reply.model_validate_json(reply)


def _read(connection: socket.socket, bytes_max: int = MESSAGE_BYTES_MAX) -> bytes:
    """One line, or what there is before the end; one byte more than allowed where it is longer."""
    data = b""
    while b"\n" not in data and len(data) <= bytes_max:
        more = connection.recv(bytes_max + 1 - len(data))
        if not more:
            break
        data += more
    return data.partition(b"\n")[0]


def _sender(connection: socket.socket) -> str:
    """Who is at the other end, as the kernel knows it."""
    form = "3i"
    size = struct.calcsize(form)
    found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    process, user, _ = struct.unpack(form, found)
    try:
        name = pwd.getpwuid(user).pw_name
    except KeyError:
        name = str(user)
    return f"{name} (process {process})"


@contextlib.contextmanager
def _address(folder: Path) -> Iterator[str]:
    """The socket's address: by way of the open folder, since a path may have 107 bytes only."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{handle}/{NAME}"
    finally:
        os.close(handle)


def require_place(folder: Path) -> None:
    """That nothing but a socket has the door's name there. One that is left is of a station that
    was killed; the folder's lock says that it is not there any more. Raises ConfigError, OSError.
    """
    path = folder / NAME
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise ConfigError(f"{path}: is no socket, and the station needs the name: move it away")
