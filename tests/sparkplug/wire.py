"""What goes over an edge node's connections, byte for byte: a proxy that records, a parser."""

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

from tests.support import free_port

CONNECT, PUBLISH, SUBSCRIBE, DISCONNECT = 1, 3, 8, 14
_SESSION_EXPIRY = 0x11


@dataclass(frozen=True, slots=True)
class Packet:
    """One MQTT packet."""

    sent: bool
    """By the edge node; else by the broker."""
    kind: int
    flags: int
    body: bytes
    level: int
    """Of the protocol: 4 is 3.1.1, 5 is 5."""

    @property
    def qos(self) -> int:
        return self.flags >> 1 & 3

    @property
    def retain(self) -> bool:
        return bool(self.flags & 1)

    @property
    def topic(self) -> str:
        return _text(self.body, 0)[0]

    @property
    def payload(self) -> bytes:
        """Of a PUBLISH."""
        at = _text(self.body, 0)[1] + (2 if self.qos else 0)
        if self.level == 5:
            at = _properties(self.body, at)[1]
        return self.body[at:]


@dataclass(frozen=True, slots=True)
class Connect:
    """What a CONNECT says."""

    clean: bool
    expires_s: int
    will_topic: str
    will: bytes
    will_qos: int
    will_retain: bool


def read_connect(packet: Packet) -> Connect:
    body = packet.body
    _, at = _text(body, 0)
    flags, at = body[at + 1], at + 4
    expires_s = 0
    if packet.level == 5:
        properties, at = _properties(body, at)
        where = properties.find(bytes([_SESSION_EXPIRY]))
        expires_s = int.from_bytes(properties[where + 1 : where + 5]) if where == 0 else 0
    _, at = _text(body, at)
    if packet.level == 5:
        at = _properties(body, at)[1]
    topic, at = _text(body, at)
    size = int.from_bytes(body[at : at + 2])
    will = body[at + 2 : at + 2 + size]
    return Connect(bool(flags & 2), expires_s, topic, will, flags >> 3 & 3, bool(flags & 32))


def read_subscribe(packet: Packet) -> dict[str, int]:
    """Topic: QoS asked for."""
    at = 2 if packet.level == 4 else _properties(packet.body, 2)[1]
    found = {}
    while at < len(packet.body):
        topic, at = _text(packet.body, at)
        found[topic] = packet.body[at] & 3
        at += 1
    return found


@dataclass(slots=True)
class Recording:
    """One connection, in the order in which packets were whole."""

    packets: list[Packet] = field(default_factory=list)
    level: int = 4
    raw: bytes = b""
    """What came first."""
    _rest: dict[bool, bytes] = field(default_factory=lambda: {True: b"", False: b""})

    def add(self, data: bytes, *, sent: bool) -> None:
        self.raw = self.raw or data
        self._rest[sent] += data
        for head, body in self._whole(sent):
            if head >> 4 == CONNECT:
                self.level = body[_text(body, 0)[1]]
            self.packets.append(Packet(sent, head >> 4, head & 15, body, self.level))

    def _whole(self, sent: bool) -> Iterator[tuple[int, bytes]]:  # noqa: FBT001
        while len(self._rest[sent]) >= 2:
            data = self._rest[sent]
            try:
                size, at = _varint(data, 1)
            except IndexError:
                return
            if len(data) < at + size:
                return
            self._rest[sent] = data[at + size :]
            yield data[0], data[at : at + size]


class Proxy:
    """Between the edge node and the broker; where the broker is away, it hangs up."""

    def __init__(self, broker_port: int) -> None:
        self.port = free_port()
        self.recordings: list[Recording] = []
        self._broker_port = broker_port
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def cut(self) -> None:
        """End every connection, as a network does that fails."""
        for each in self._open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def _accept(self) -> None:
        while True:
            try:
                ours, _ = self._listener.accept()
            except OSError:
                return
            self._threads.append(threading.Thread(target=self._carry, args=(ours,), daemon=True))
            self._threads[-1].start()

    def _carry(self, ours: socket.socket) -> None:
        """Until either side hangs up; both directions in the order in which they came."""
        recording = Recording()
        self.recordings.append(recording)
        self._open.append(ours)
        with ours, suppress(OSError):
            recording.add(ours.recv(65_536), sent=True)  # the CONNECT counts, heard or not
            with socket.create_connection(("127.0.0.1", self._broker_port)) as theirs:
                theirs.sendall(recording.raw)
                while True:
                    for from_ in select.select([ours, theirs], [], [])[0]:
                        data = from_.recv(65_536)
                        if not data:
                            return
                        recording.add(data, sent=from_ is ours)
                        (theirs if from_ is ours else ours).sendall(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes who accepts
        self._listener.close()
        for thread in self._threads:
            thread.join(5.0)


def _text(data: bytes, at: int) -> tuple[str, int]:
    end = at + 2 + int.from_bytes(data[at : at + 2])
    return data[at + 2 : end].decode(), end


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        at += 1
        if not data[at - 1] & 128:
            return value, at
        shift += 7


def _properties(data: bytes, at: int) -> tuple[bytes, int]:
    size, at = _varint(data, at)
    return data[at : at + size], at + size
