"""Who consumes what, and where it goes: consumer.toml."""

import hashlib
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from inspector.contract.strict import Name, Strict, read_toml, resolved
from inspector.contract.topics import Root
from inspector.delivery.broker import MqttSettings

Seconds = Annotated[float, Field(gt=0.0, le=600.0)]


class JsonLinesSink(Strict):
    """One result a line, as it was sent. Beside it FILE.position says how far it is whole."""

    kind: Literal["jsonl"]
    path: Path


class CsvSink(Strict):
    """One result a line, the columns of `inspector journal export`."""

    kind: Literal["csv"]
    path: Path


class SqliteSink(Strict):
    """A table `result` of (station, seq), made where it is missing."""

    kind: Literal["sqlite"]
    path: Path


class PostgresSink(Strict):
    """A table of (station, seq), made where it is missing. Needs the extra `postgres`."""

    kind: Literal["postgres"]
    conninfo_file: Path
    """Its first line is libpq's connection string, password included, for nobody else to read."""
    table: Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]{0,62}$")] = "inspector_result"


class SubscribeSettings(Strict):
    """Relative paths are relative to the file they stand in."""

    consumer: Name
    """As it is registered in each station's settings, under [[consumers]]."""
    topic_root: Root
    stations: Annotated[tuple[Name, ...], Field(min_length=1, max_length=256)]
    mqtt: MqttSettings
    sink: Annotated[
        JsonLinesSink | CsvSink | SqliteSink | PostgresSink, Field(discriminator="kind")
    ]
    late_after_s: Seconds = 2.0
    """Rows the station has and that do not come by themselves for so long are asked for."""
    ask_again_s: Seconds = 5.0
    """A request nobody has answered is repeated after this."""
    store_rows: Annotated[int, Field(ge=1, le=10_000)] = 500
    """So many rows are stored and acknowledged together ..."""
    store_s: Annotated[float, Field(ge=0.0, le=60.0)] = 0.2
    """... or what has come in this time."""

    @model_validator(mode="after")
    def _stations_named_once(self) -> Self:
        if len(set(self.stations)) < len(self.stations):
            raise ValueError("stations: each name once")
        return self

    @property
    def client_id(self) -> str:
        """What the broker knows it by. Another one for other stations: a broker ends the older
        connection of a name, and one of two would always be away."""
        of = "\n".join((self.topic_root, *sorted(self.stations)))
        digest = hashlib.blake2b(of.encode(), digest_size=4).hexdigest()
        return self.mqtt.client_id or f"inspector-consumer-{self.consumer}-{digest}"


def read_subscribe_settings(path: Path) -> SubscribeSettings:
    """Raises ConfigError naming every fault of the file."""
    return resolved(read_toml(path, SubscribeSettings), path.resolve().parent)
