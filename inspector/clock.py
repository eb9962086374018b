"""This machine's clocks."""

import time
from datetime import UTC, datetime


class SystemClock:
    """ports.Clock by this machine."""

    def monotonic(self) -> float:
        return time.monotonic()

    def utc(self) -> datetime:
        return datetime.now(UTC)
