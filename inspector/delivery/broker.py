"""Which broker, and how patient to be with it: the `[mqtt]` section of station.toml."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from inspector.contract.address import is_loopback
from inspector.contract.keyfile import read_secret_line
from inspector.contract.strict import Name, Strict
from inspector.delivery.tls import TlsSettings, make_context

Protocol = Literal["5", "3.1.1"]
Seconds = Annotated[float, Field(gt=0.0, le=600.0)]
PORT_TLS = 8_883
REFUSALS_UNSEEN = (
    "in MQTT 3.1.1 a broker cannot say that it refuses a message: what its access list forbids "
    "counts as delivered"
)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to be accepted by a broker."""

    protocol: Protocol
    answer_timeout_s: float
    only_asks: bool = False
    """Whether it would accept us; the connection ends with that answer."""


class MqttSettings(Strict):
    """Which broker, and how patient to be with it."""

    table: ClassVar[str] = "mqtt"
    """Where it stands in its file, to begin errors with."""

    host: Annotated[str, Field(min_length=1, max_length=253)]
    port: Annotated[int, Field(ge=1, le=65_535)] = 1_883
    """Left out, it is 8883 with tls."""
    tls: TlsSettings | None = None
    """Left out, everything travels readable, which is refused beyond this machine."""
    protocol: Literal["auto", "5", "3.1.1"] = "auto"
    """auto tries MQTT 5 first, and 3.1.1 where it is refused or not answered."""
    client_id: Name | None = None
    """Left out, it is made of the topic: inspector-ROOT-STATION."""
    user: Annotated[str, Field(min_length=1)] | None = None
    password_file: Path | None = None
    """Its first line is the password, for nobody else to read; read at every connect, so that it
    can be changed."""
    plaintext_beyond_loopback: bool = False
    """Results and password cross the network readable, and anyone there can forge both."""
    keepalive_s: Annotated[int, Field(ge=2, le=3_600)] = 10
    """The broker publishes the last will one and a half times this after we have gone silent."""
    in_flight_max: Annotated[int, Field(ge=1, le=100)] = 20
    """Messages sent and not yet acknowledged."""
    connect_timeout_s: Seconds = 3.0
    """For TCP, again for TLS, and again for the broker's answer."""
    version_timeout_s: Seconds = 2.0
    """How long protocol "auto" waits for an answer in MQTT 5 before it asks in 3.1.1; longer
    where the broker has spoken 5."""
    acknowledge_timeout_s: Seconds = 10.0
    """A message not acknowledged within this ends the connection."""
    backoff_min_s: Seconds = 0.5
    backoff_max_s: Seconds = 15.0

    @model_validator(mode="before")
    @classmethod
    def _port_of_tls(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("tls") is not None:
            return {"port": PORT_TLS, **data}
        return data

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.password_file is not None and self.user is None:
            raise ValueError("password_file needs user")
        if self.backoff_min_s > self.backoff_max_s:
            raise ValueError("backoff_min_s must not be above backoff_max_s")
        if self.tls is not None:
            if self.plaintext_beyond_loopback:
                raise ValueError("plaintext_beyond_loopback beside tls: leave one of them out")
        elif not self.plaintext_beyond_loopback and not is_loopback(self.host):
            raise ValueError(
                f"host {self.host!r} is beyond this machine and results would travel readable: "
                "add a table tls, or write plaintext_beyond_loopback = true to accept that"
            )
        return self

    @property
    def where(self) -> tuple[str, int]:
        """Host and port."""
        return self.host, self.port

    def name_of(self, path: str) -> str:
        """What the broker knows a station by. path: its ROOT/STATION."""
        return self.client_id or f"inspector-{path.replace('/', '-')}"


def read_password(settings: MqttSettings) -> str | None:
    """The first line of its file, None without one. Raises ConfigError, which quotes none of it."""
    path = settings.password_file
    if path is None:
        return None
    return read_secret_line(path, what=f"{settings.table}.password_file ")


def context_of(settings: MqttSettings) -> ssl.SSLContext | None:
    """None without TLS. Raises as make_context."""
    return make_context(settings.tls, what=f"{settings.table}.tls.") if settings.tls else None


def require_files(settings: MqttSettings) -> None:
    """Raises ConfigError where password, certificates or key cannot be used as they are now."""
    read_password(settings)
    context_of(settings)
