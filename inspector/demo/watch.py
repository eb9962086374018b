"""A subscriber as any other in the plant: it knows a broker and two topics, not the station."""

from queue import Empty, Queue
from typing import Self

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from inspector.contract.errors import DeviceError
from inspector.contract.result import InspectionResult
from inspector.contract.status import StateMessage
from inspector.contract.topics import Place

CONNECT_S = 5.0


class Watcher:
    """A context: subscribed inside. Raises DeviceError where the broker is not there."""

    def __init__(self, host: str, port: int, place: Place) -> None:
        self._host, self._port = host, port
        self._place = place
        self._messages: Queue[MQTTMessage] = Queue()
        self._subscribed: Queue[bool] = Queue()
        # 3.1.1, which every broker speaks
        self._client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv311)
        self._client.connect_timeout = CONNECT_S
        self._client.on_connect = lambda client, *_: client.subscribe(
            [(place.result, 1), (place.state, 1)]
        )
        self._client.on_subscribe = lambda *_: self._subscribed.put(True)
        self._client.on_message = lambda _client, _data, message: self._messages.put(message)
        self.state: StateMessage | None = None

    def next(self, timeout_s: float) -> InspectionResult | None:
        """The next result to arrive; states on the way are kept as `state`."""
        try:
            message = self._messages.get(timeout=timeout_s)
            while message.topic != self._place.result:
                self._take_state(message.payload)
                message = self._messages.get(timeout=timeout_s)
        except Empty:
            return None
        return InspectionResult.model_validate_json(message.payload)

    def clear(self) -> None:
        """Take what is retained off the broker: after the demo there is no such station."""
        for topic in (self._place.state, self._place.alarm):
            self._client.publish(topic, b"", qos=1, retain=True).wait_for_publish(2.0)

    def _take_state(self, payload: bytes | bytearray) -> None:
        if payload:
            self.state = StateMessage.model_validate_json(payload)

    def __enter__(self) -> Self:
        where = f"broker {self._host}:{self._port}"
        try:
            self._client.connect(self._host, self._port)
        except OSError as error:
            raise DeviceError(f"{where}: {error.strerror or error}") from None
        self._client.loop_start()
        try:
            self._subscribed.get(timeout=CONNECT_S)
        except Empty:
            self._client.loop_stop()
            raise DeviceError(f"{where}: does not let us subscribe") from None
        return self

    def __exit__(self, *_error: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()
