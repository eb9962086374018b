"""The courier and the Sparkplug edge node as the one publisher the station knows."""

from typing import TYPE_CHECKING

from inspector.contract.status import ConsumerStatus
from inspector.delivery.mqtt import Courier

if TYPE_CHECKING:  # a station without an edge node need not load protobuf
    from inspector.delivery.sparkplug import EdgeNode


class Both:
    """ports.Publisher. Never blocks."""

    def __init__(self, courier: Courier, node: "EdgeNode") -> None:
        self._courier = courier
        self._node = node

    @property
    def consumers(self) -> tuple[ConsumerStatus, ...]:
        return (*self._courier.consumers, *self._node.consumers)

    def wake(self) -> None:
        self._courier.wake()
        self._node.wake()

    def offer_state(self, payload: bytes) -> None:
        self._courier.offer_state(payload)
        self._node.offer_state(payload)

    def offer_alarm(self, payload: bytes) -> None:
        self._courier.offer_alarm(payload)
        self._node.offer_alarm(payload)

    def beat(self, payload: bytes) -> None:
        """For the courier alone: a host knows by the will whether we are there."""
        self._courier.beat(payload)
