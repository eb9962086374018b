"""What systemd is told of the process (sd_notify(3)); silent where nobody listens."""

import os
import socket
import time
from collections.abc import Mapping

_WATCHDOG_EVERY_S = 1.0


class Systemd:
    """Datagrams to NOTIFY_SOCKET. A watchdog is fed only with proof that the pipeline moves."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        # @ stands for the zero byte of an abstract address
        self._address = "\0" + address[1:] if address.startswith("@") else address
        limit_us = environment.get("WATCHDOG_USEC", "")
        limit_s = int(limit_us) / 1_000_000 if limit_us.isdigit() else float("inf")
        self._every_s = min(_WATCHDOG_EVERY_S, limit_s / 4)
        self._turns = -1
        self._fed_at = float("-inf")
        self._status = ""

    def ready(self) -> None:
        self._send("READY=1")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def status(self, text: str) -> None:
        """For `systemctl status`; said again only when it has changed."""
        if text != self._status:
            self._status = text
            self._send(f"STATUS={text}".replace("\n", " "))

    def moved(self, turns: int) -> None:
        """Feed the watchdog, if the pipeline has come further since it was fed last."""
        now = time.monotonic()
        if turns != self._turns and now - self._fed_at >= self._every_s:
            self._turns, self._fed_at = turns, now
            self._send("WATCHDOG=1")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
                sender.sendto(message.encode(), self._address)
        except OSError:  # it restarts, or its queue is full: the next one will do
            return
