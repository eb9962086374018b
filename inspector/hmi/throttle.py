"""How long who failed to log in waits before the next try: longer each time, up to a limit.

Counted for the account and for the address (IPv6 by its /64), in memory: a new start forgives.
"""

import threading
import time
from collections import OrderedDict

from inspector.hmi.whose import read_address, whose

FREE_TRIES_ACCOUNT, FREE_TRIES_ADDRESS = 3, 10
DELAY_FIRST_S, DELAY_MAX_S = 2.0, 900.0
FORGET_S = 3_600.0
KEYS_MAX = 10_000


class Throttle:
    """Any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failed: OrderedDict[tuple[str, str], tuple[int, float]] = OrderedDict()

    def wait_s(self, account: str, address: str) -> float:
        """How long until the next try is looked at; 0: now."""
        now = time.monotonic()
        with self._lock:
            return max(
                self._wait_s(("account", account), FREE_TRIES_ACCOUNT, now),
                self._wait_s(_whose(address), FREE_TRIES_ADDRESS, now),
            )

    def failed(self, account: str, address: str) -> None:
        now = time.monotonic()
        with self._lock:
            for key in (("account", account), _whose(address)):
                count, at = self._failed.pop(key, (0, now))
                count = 0 if now - at > FORGET_S else count
                self._failed[key] = count + 1, now
            while len(self._failed) > KEYS_MAX:
                self._failed.popitem(last=False)

    def succeeded(self, account: str, address: str) -> None:
        """This try is not counted; those of the address before it stay: one account of one's own
        must not buy tries at others."""
        with self._lock:
            self._failed.pop(("account", account), None)
            count, at = self._failed.get(_whose(address), (1, 0.0))
            self._failed[_whose(address)] = count - 1, at

    def _wait_s(self, key: tuple[str, str], free: int, now: float) -> float:
        count, at = self._failed.get(key, (0, now))
        if count < free or now - at > FORGET_S:
            return 0.0
        delay_s = min(DELAY_MAX_S, DELAY_FIRST_S * 2.0 ** min(count - free, 20))
        return max(0.0, at + delay_s - now)


def _whose(address: str) -> tuple[str, str]:
    try:
        return "address", whose(read_address(address)).hex()
    except ValueError:  # what a proxy says in its place
        return "address", address
