"""A real mosquitto for the tests, on a port and in a folder of its own, and who listens to it."""

import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Self

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from tests.support import free_port, until

# Debian installs it where a user's PATH does not look
_PROGRAM = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


CLIENTS_READ_S = 5.0
"""A client on a busy machine comes to it within this; one that never reads keeps nobody longer."""


def _unread(port: int) -> int:
    """Bytes that lie unread with those who are connected to a port of 127.0.0.1 (proc(5))."""
    rows = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    return sum(
        int(queues.partition(":")[2], 16)
        for _, _, remote, _, queues, *_ in (row.split() for row in rows)
        if remote.endswith(f":{port:04X}")
    )


class Mosquitto:
    """Not started before `start`; may be killed and started again on the same port."""

    def __init__(self, folder: Path, *lines: str, quiet: bool = False) -> None:
        """quiet: as `verbose` = False, for runs of hours."""
        if _PROGRAM is None:
            pytest.skip("needs the Debian package mosquitto")
        self.port = free_port()
        self._folder = folder / "mosquitto"
        self._folder.mkdir(mode=0o755)
        self._config = self._folder / "mosquitto.conf"
        self.configure(*lines)
        self._starts = 0
        self.verbose = not quiet
        """Log every packet: for tests that read the log, not for those that hold the time."""
        self._process: subprocess.Popen[bytes] | None = None

    def configure(self, *lines: str) -> None:
        """What the next start will read. Sessions are kept on disk, as a plant's broker does."""
        common = (
            f"listener {self.port} 127.0.0.1",
            "user root",
            "set_tcp_nodelay true",
            "max_queued_messages 0",
            "max_inflight_messages 0",
            "persistence true",
            f"persistence_location {self._folder}/",
            *(() if any("anonymous" in line for line in lines) else ("allow_anonymous true",)),
        )
        self._config.write_text("\n".join((*common, *lines, "")), encoding="utf-8")

    def configure_whole(self, text: str) -> None:
        """As `configure`, a whole configuration, with its own listener."""
        self._config.write_text(text, encoding="utf-8")

    def start(self) -> Self:
        self._starts += 1
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(_PROGRAM), *(["-v"] if self.verbose else []), "-c", str(self._config)],
                stdout=log,
                stderr=log,
                process_group=0,  # Ctrl-C is for who runs the tests, who ends it in order
            )
        assert until(self._listens), self.log()
        return self

    def save(self) -> None:
        """Write sessions and retained messages to disk, so that a kill does not lose them."""
        assert self._process is not None
        stored = self._folder / "mosquitto.db"
        stored.unlink(missing_ok=True)
        self._process.send_signal(signal.SIGUSR1)
        assert until(stored.exists)  # written beside it first, then moved into place

    def kill(self) -> None:
        """kill -9; may be called twice.

        It stands still before, until its clients have read what it had written to them: a reset
        connection makes a subscriber throw that away, and that loss is not the one the tests are
        about.
        """
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)
            time.sleep(0.1)
            until(lambda: not _unread(self.port), CLIENTS_READ_S)
            self._process.kill()
            self._process.wait()
            self._process = None

    def crash(self) -> None:
        """kill -9 as it comes: whatever is on its way to anybody is lost, and all it had kept."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        for stored in self._folder.glob("mosquitto.db*"):
            stored.unlink()

    def pause(self) -> None:
        """The broker stands still; its connections stay open."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def log(self) -> str:
        path = self._folder / "log"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def _listens(self) -> bool:
        return self.log().count(" running\n") == self._starts

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


class Listener:
    """A subscriber of another make than the courier: paho's own loop, a session that stays."""

    def __init__(
        self,
        port: int,
        topic: str = "#",
        *,
        name: str = "listener",
        as_published: bool = False,
    ) -> None:
        """as_published: the retain flag as the publisher set it, which brokers clear else."""
        self.messages: list[paho.MQTTMessage] = []
        self._subscribed = threading.Event()
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, name, protocol=MQTTProtocolVersion.MQTTv5
        )
        self._client.reconnect_delay_set(1, 1)
        options = SubscribeOptions(qos=1, retainAsPublished=as_published)
        self._client.on_connect = lambda client, *_: client.subscribe(topic, options=options)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = lambda _client, _data, message: self.took(message)
        session = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call] # paho's
        session.SessionExpiryInterval = 3_600
        self._client.connect("127.0.0.1", port, clean_start=False, properties=session)
        self._client.loop_start()
        assert self._subscribed.wait(10.0)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        self._client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(10.0)

    def took(self, message: paho.MQTTMessage) -> None:
        """On paho's thread, as messages come."""
        self.messages.append(message)

    def payloads(self, topic: str) -> list[bytes]:
        return [bytes(m.payload) for m in self.messages if m.topic == topic]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()
