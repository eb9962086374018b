"""How a client of a broker waits for it, and how often it says so."""

import logging
import random
import time

from inspector.delivery.broker import MqttSettings

log = logging.getLogger(__name__)

SAY_AGAIN_S = 60.0


class Patience:
    """One thread uses it."""

    def __init__(self, settings: MqttSettings) -> None:
        self._settings = settings
        self._said = ("", 0.0)

    @property
    def broker(self) -> str:
        return f"{self._settings.host}:{self._settings.port}"

    def delay_s(self, failures: int) -> float:
        """Longer each time, up to a limit, and not in step with other stations."""
        delay_s = self._settings.backoff_min_s * 2.0 ** min(failures, 20)
        share = random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret
        return min(self._settings.backoff_max_s, delay_s) * share

    def say(self, words: str) -> None:
        """Log a trouble once, and again only now and then."""
        before, at = self._said
        now = time.monotonic()
        if words != before or now - at > SAY_AGAIN_S:
            log.warning("broker %s: %s", self.broker, words)
            self._said = (words, now)

    def greet(self, protocol: str) -> None:
        """The trouble is over."""
        self._said = ("", 0.0)
        log.info("connected to %s, MQTT %s", self.broker, protocol)
