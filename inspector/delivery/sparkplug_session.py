"""What an edge node says within one MQTT connection: birth, data, death, numbered.

seq is 0 in the NBIRTH and one more in each message of node and device after it, 255 then 0.
Nothing but births comes before the births, and only what changed after them.
"""

import time
from collections.abc import Sequence

from inspector.delivery.sparkplug_connection import EdgeConnection
from inspector.delivery.sparkplug_metrics import (
    BIRTH_NUMBER,
    DEATH_NUMBER,
    PART,
    REBIRTH,
    resting,
)
from inspector.delivery.sparkplug_payload import Sample, Value, encode
from inspector.delivery.sparkplug_rows import Part
from inspector.delivery.sparkplug_settings import SparkplugPlace

_NUMBERS = 256


def death(birth_number: int) -> bytes:
    """The NDEATH: bdSeq and nothing else, by which a host knows whose death it is."""
    at_ms = now_ms()
    return encode([Sample(DEATH_NUMBER, birth_number, at_ms)], at_ms=at_ms, seq=None)


def now_ms() -> int:
    return round(1000 * time.time())


class Session:
    """One thread uses it."""

    def __init__(
        self, connection: EdgeConnection, place: SparkplugPlace, birth_number: int
    ) -> None:
        self.connection = connection
        self.born = False
        """Every birth is out: data may follow."""
        self.born_at = 0.0
        """time.monotonic()"""
        self._place = place
        self._birth_number = birth_number
        self._seq = 0
        self._told: dict[str, Value] = {}

    def birth(self, node: Sequence[Sample], device: Sequence[Sample]) -> None:
        """NBIRTH, then DBIRTH: every metric there is. Also again, when a host asks for it."""
        at_ms = now_ms()
        self._seq, self._told = 0, {}
        own = (Sample(BIRTH_NUMBER, self._birth_number, at_ms), resting(REBIRTH, at_ms))
        self._tell(self._place.of_node("NBIRTH"), [*own, *node], birth=True)
        self._tell(self._place.of_device("DBIRTH"), device, birth=True)
        self.born, self.born_at = True, time.monotonic()

    def node_data(self, samples: Sequence[Sample]) -> None:
        """Those that have changed; nothing where none has."""
        changed = self._changed(samples)
        if changed:
            self._tell(self._place.of_node("NDATA"), changed)

    def device_data(self, samples: Sequence[Sample]) -> None:
        """As `node_data`."""
        changed = self._changed(samples)
        if changed:
            self._tell(self._place.of_device("DDATA"), changed)

    def part(self, part: Part, historical: bool) -> None:  # noqa: FBT001 - rows call it so
        """One part, whole: each is a sample of its own, whether or not it is like the last one.

        Only what was null and still is is left out of news; history stands by itself.
        """
        samples = PART.samples(part.row, part.at_ms)
        if not historical:
            samples = [
                each
                for each in samples
                if each.value is not None or self._told.get(each.of.name) is not None
            ]
        self._tell(self._place.of_device("DDATA"), samples, historical=historical)

    def death(self) -> int:
        """Before a clean leave; the number the broker acknowledges."""
        self.born = False
        topic = self._place.of_node("NDEATH")
        return self.connection.say(topic, death(self._birth_number), qos=1)

    def _changed(self, samples: Sequence[Sample]) -> list[Sample]:
        return [each for each in samples if self._told.get(each.of.name) != each.value]

    def _tell(
        self,
        topic: str,
        samples: Sequence[Sample],
        *,
        birth: bool = False,
        historical: bool = False,
    ) -> None:
        payload = encode(samples, at_ms=now_ms(), seq=self._seq, birth=birth, historical=historical)
        self._seq = (self._seq + 1) % _NUMBERS
        if not historical:
            self._told.update({each.of.name: each.value for each in samples})
        self.connection.say(topic, payload)
