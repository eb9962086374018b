"""One MQTT connection, from CONNECT until it is lost.

paho is driven from the outside (its documented loop_read, loop_write, loop_misc): no thread of
its own that could die unseen, and a new message leaves at once. A client is used for one
connection only, so that paho never resends from its memory what the journal will send again.
The callbacks only note what came: an error in them cannot be lost, there is nothing to fail.
"""

import select
import socket
import ssl
import struct
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

from paho.mqtt import MQTTException
from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags
from paho.mqtt.enums import CallbackAPIVersion, LogLevel, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from inspector.contract.errors import ConfigError
from inspector.delivery.broker import Attempt, MqttSettings, context_of, read_password
from inspector.delivery.inbound import PACKET_BYTES_MAX, Inbound
from inspector.delivery.tls import alert_in_words, in_words

_QOS = 1
_LEAST_REFUSAL = 0x80
# What a broker of another protocol version answers (MQTT 5: 0x84; paho maps 3.1.1's 1 to it)
_UNSUPPORTED_VERSION = 0x84
# What paho raises where the other side speaks no MQTT
_MALFORMED = (MQTTException, ValueError, LookupError, TypeError, struct.error)
_TURN_MAX_S = 1.0  # paho's keep-alive is looked after at least this often


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """The broker's answer to one message; `refusal` in its words, None where it took it."""

    message: int
    refusal: str | None


class Connection:
    """One connection; used by one thread and thrown away when `lost` says why it ended."""

    def __init__(
        self,
        settings: MqttSettings,
        attempt: Attempt,
        *,
        client_id: str,
        will_topic: str | None = None,
        will: bytes = b"",
        inbound: Inbound | None = None,
    ) -> None:
        """inbound: what to listen to, from the moment the broker has accepted us."""
        self.lost: str | None = None
        self.ready = False
        """The broker has accepted us."""
        self.wrong_version = self.refused_version = False
        """Not accepted, perhaps because the broker speaks another version: such brokers say so
        (refused), hang up, or never answer."""
        self.awake = False
        """It would have accepted us, and was only asked."""
        self.in_flight_max = settings.in_flight_max
        self.acknowledged: deque[Acknowledgement] = deque()
        self._settings = settings
        self.protocol = attempt.protocol
        self._attempt = attempt
        self._client = self._make_client(client_id)
        if will_topic is not None and not attempt.only_asks:
            self._client.will_set(will_topic, will, _QOS, retain=True)
        self._inbound = inbound
        if inbound is not None:
            inbound.attach(self._client, self._end)
        self._socket: Any = None
        self._trouble = ""

    def open(self) -> None:
        """Connect TCP and send CONNECT; `ready` comes later. Failure is in `lost`."""
        broker = self._settings.host, self._settings.port, self._settings.keepalive_s
        try:
            self._login()
            if (context := context_of(self._settings)) is not None:
                self._client.tls_set_context(context)
            # clean, and no session expiry: the broker keeps nothing for us, the journal does
            if self.protocol == "5":
                limits = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call] # paho's
                limits.MaximumPacketSize = PACKET_BYTES_MAX
                self._client.connect(*broker, clean_start=True, properties=limits)
            else:
                self._client.connect(*broker)
        except ConfigError as error:
            self.lost = str(error)
            return
        except ssl.SSLError as error:
            self.lost = in_words(error, self._settings.host)
            return
        except (OSError, UnicodeError) as error:
            self.lost = getattr(error, "strerror", None) or str(error)
            if self._settings.tls is not None and isinstance(error, ConnectionResetError):
                self.lost = f"TLS failed: what answers there may not speak it ({self.lost})"
            return
        self._answer_by = time.monotonic() + self._attempt.answer_timeout_s
        self._socket = self._client.socket()
        if self._socket is None:  # closed again already
            self._end("the broker hung up")
        else:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        retain: bool,
        correlation: bytes | None = None,
        expiry_s: int | None = None,
    ) -> int:
        """Hand one QoS 1 message to the socket; returns its number for `acknowledged`.

        correlation: of the message this one answers, where MQTT 5 brought one.
        expiry_s: after which a broker of MQTT 5 no longer hands it to who was away.
        """
        properties = self._properties(correlation, expiry_s)
        info = self._client.publish(topic, payload, _QOS, retain=retain, properties=properties)
        self._note(info.rc)
        return info.mid

    def tell(self, topic: str, payload: bytes, *, expiry_s: int | None = None) -> None:
        """Hand one QoS 0 message to the socket: what is late is worth nothing."""
        properties = self._properties(None, expiry_s)
        info = self._client.publish(topic, payload, 0, properties=properties)
        self._note(info.rc)

    def turn(self, wake: socket.socket, timeout_s: float) -> bool:
        """Wait for the network or for a byte at `wake`, and serve the network.

        Returns whether `wake` is readable.
        """
        if self.lost is None and self._client.socket() is None:
            self._end("the broker hung up")
        if self.lost is not None:
            return False
        timeout_s = min(timeout_s, _TURN_MAX_S)
        if not self._answered:
            timeout_s = min(timeout_s, self._answer_by - time.monotonic())
        # what TLS has read ahead no longer shows at the socket
        held = self._settings.tls is not None and self._socket.pending() > 0
        if held:
            timeout_s = 0.0
        poll = select.poll()
        poll.register(wake, select.POLLIN)
        poll.register(
            self._socket, select.POLLIN | (select.POLLOUT if self._client.want_write() else 0)
        )
        events = dict(poll.poll(1_000 * max(0.0, timeout_s)))
        network = events.get(self._socket.fileno(), 0)
        if held or network & ~select.POLLOUT:
            self._read()
        if network & select.POLLOUT:
            self._note(self._client.loop_write())
        self._note(self._client.loop_misc())
        if not self._answered and time.monotonic() >= self._answer_by:
            what = "SUBSCRIBE" if self.ready else "CONNECT"
            self._end(f"no answer to {what} in MQTT {self.protocol}")
        return wake.fileno() in events

    def leave(self) -> None:
        """Say goodbye: the broker will not publish the last will."""
        self._say_goodbye()
        for _ in range(10):  # it goes out at once but for a full socket
            if self._client.socket() is None or not self._client.want_write():
                break
            time.sleep(0.05)
            self._client.loop_write()
        self.drop()

    def drop(self) -> None:
        """Let go without goodbye: the broker publishes the last will."""
        if self._socket is not None:
            self._socket.close()

    def _say_goodbye(self) -> None:
        self._client.disconnect()

    @property
    def _answered(self) -> bool:
        """Whether nothing is owed us: the broker has accepted us, and what we listen to."""
        return self.ready and (self._inbound is None or self._inbound.listening)

    def _make_client(self, client_id: str) -> Client:
        version = MQTTProtocolVersion.MQTTv5
        if self.protocol == "3.1.1":
            version = MQTTProtocolVersion.MQTTv311
        client = Client(
            CallbackAPIVersion.VERSION2, client_id, protocol=version, reconnect_on_failure=False
        )
        client.connect_timeout = self._settings.connect_timeout_s
        client.max_inflight_messages = 0  # no limit: the courier keeps it, and paho must not queue
        client.on_connect = self._on_connect
        client.on_publish = self._on_publish
        client.on_disconnect = self._on_disconnect
        if self._settings.tls is not None:
            client.on_log = self._on_log
        return client

    def _properties(self, correlation: bytes | None, expiry_s: int | None) -> Properties | None:
        if self.protocol == "3.1.1":
            return None
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call] # paho's
        properties.ContentType = "application/json"
        if correlation is not None:
            properties.CorrelationData = correlation
        if expiry_s is not None:
            properties.MessageExpiryInterval = expiry_s
        return properties

    def _login(self) -> None:
        if self._settings.user is None:
            return
        self._client.username_pw_set(self._settings.user, read_password(self._settings))

    def _read(self) -> None:
        try:
            self._note(self._client.loop_read())
        except _MALFORMED as error:
            self._end(f"the broker sent what is no MQTT: {error}")

    def _note(self, code: MQTTErrorCode) -> None:
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._end(f"the connection broke ({code.name})")

    def _end(self, words: str) -> None:
        """The first reason stays: what follows is its consequence."""
        if self.lost is None:
            # TLS 1.3 tells what it has against our certificate after its handshake
            self.lost = self._trouble or words
            self.wrong_version = not self.ready and not self._trouble

    def _on_log(self, client: Client, userdata: object, level: int, words: str) -> None:
        """paho tells only here why the socket failed."""
        if level == LogLevel.MQTT_LOG_ERR and "ALERT" in words:
            self._trouble = alert_in_words(words)

    def _on_connect(
        self,
        client: Client,
        userdata: object,
        flags: ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            self.lost = f"the broker refused us: {reason}"
            self.wrong_version = self.refused_version = reason.value == _UNSUPPORTED_VERSION
            return
        if self._attempt.only_asks:
            self.lost, self.awake = f"it answers MQTT {self.protocol}", True
            return
        self.ready = True
        receive_max = getattr(properties, "ReceiveMaximum", None)
        if receive_max is not None:
            self.in_flight_max = min(self.in_flight_max, int(receive_max))
        if self._inbound is not None:
            self._inbound.subscribe(client, self.protocol)

    def _on_publish(
        self,
        client: Client,
        userdata: object,
        message: int,
        reason: ReasonCode,
        properties: Properties,
    ) -> None:
        refusal = str(reason) if reason.value >= _LEAST_REFUSAL else None
        self.acknowledged.append(Acknowledgement(message, refusal))

    def _on_disconnect(
        self,
        client: Client,
        userdata: object,
        flags: DisconnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if flags.is_disconnect_packet_from_server:
            self._end(f"the broker ended the connection: {reason}")
        elif reason == "Keep alive timeout":
            self._end("the broker fell silent")
        else:
            self._end("the broker hung up")
