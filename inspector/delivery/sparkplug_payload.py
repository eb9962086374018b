"""Sparkplug B payloads: protobuf's one door.

What is published is made of samples of defined metrics; NaN never leaves: where there is no
number there is a null. What comes from a host is read into what it asks to be written.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

from google.protobuf.message import DecodeError

from inspector.contract.errors import CommandError
from inspector.delivery import sparkplug_b_pb2 as wire

Value = bool | int | float | str | None
WRITTEN_MAX = 32
_32_BITS = 0xFFFF_FFFF
_64_BITS = 0xFFFF_FFFF_FFFF_FFFF


class DataType(IntEnum):
    """Those of the specification that are used here. No UInt32: hosts disagree on its field."""

    INT32 = 3
    INT64 = 4
    DOUBLE = 10
    BOOLEAN = 11
    STRING = 12
    DATETIME = 13
    """Milliseconds since 1970 in UTC."""


@dataclass(frozen=True, slots=True)
class Definition:
    """What a birth says of a metric."""

    name: str
    datatype: DataType
    unit: str | None = None
    """As UCUM or the plant writes it: ms, %, px."""
    low: float | None = None
    high: float | None = None
    writable: bool = False
    alias: int | None = None
    """What stands for the name in every message but a birth."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A metric's value, and since when, in milliseconds since 1970."""

    of: Definition
    value: Value
    at_ms: int


@dataclass(frozen=True, slots=True)
class Written:
    """One metric a host writes: by its name, or by its alias."""

    name: str | None
    alias: int | None
    value: Value


def encode(
    samples: Iterable[Sample],
    *,
    at_ms: int,
    seq: int | None,
    birth: bool = False,
    historical: bool = False,
) -> bytes:
    """One payload. A birth names and describes its metrics; else the alias says it all."""
    payload = wire.Payload(timestamp=at_ms)
    if seq is not None:
        payload.seq = seq
    # as the specification wants values that are current: in the order of their times
    for sample in sorted(samples, key=lambda each: each.at_ms):
        metric = payload.metrics.add()
        metric.timestamp = sample.at_ms
        if sample.of.alias is not None:
            metric.alias = sample.of.alias
        if birth or sample.of.alias is None:
            metric.name = sample.of.name
            metric.datatype = sample.of.datatype
        if birth:
            _describe(metric, sample.of)
        if historical:
            metric.is_historical = True
        _set(metric, sample.of.datatype, sample.value)
    return bytes(payload.SerializeToString())


def read_written(data: bytes) -> list[Written]:
    """What a NCMD or DCMD asks for. Raises CommandError in words."""
    try:
        payload = wire.Payload.FromString(data)
    except DecodeError:
        raise CommandError("the message is no Sparkplug B payload") from None
    if not 0 < len(payload.metrics) <= WRITTEN_MAX:
        raise CommandError(f"it writes {len(payload.metrics)} metrics, not 1 to {WRITTEN_MAX}")
    return [
        Written(
            name=metric.name if metric.HasField("name") else None,
            alias=metric.alias if metric.HasField("alias") else None,
            value=_value(metric),
        )
        for metric in payload.metrics
    ]


def _describe(metric: wire.Metric, of: Definition) -> None:
    """Engineering units and range, under the names hosts know."""
    keys: list[tuple[str, DataType, Value]] = [("readOnly", DataType.BOOLEAN, not of.writable)]
    if of.unit is not None:
        keys.append(("engUnit", DataType.STRING, of.unit))
    if of.low is not None:
        keys.append(("engLow", DataType.DOUBLE, of.low))
    if of.high is not None:
        keys.append(("engHigh", DataType.DOUBLE, of.high))
    for key, datatype, value in keys:
        metric.properties.keys.append(key)
        described = metric.properties.values.add()
        described.type = datatype
        _set(described, datatype, value)


def _set(into: wire.Metric | wire.PropertyValue, datatype: DataType, value: Value) -> None:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        into.is_null = True
    elif datatype is DataType.INT32:
        into.int_value = int(value) & _32_BITS
    elif datatype in (DataType.INT64, DataType.DATETIME):
        into.long_value = int(value) & _64_BITS
    elif datatype is DataType.DOUBLE:
        into.double_value = float(value)
    elif datatype is DataType.BOOLEAN:
        into.boolean_value = bool(value)
    else:  # what cannot be written in UTF-8 must not end the thread
        into.string_value = str(value).encode("utf-8", "replace").decode("utf-8")


def _value(metric: wire.Metric) -> Value:
    """As it was written; integers as unsigned ones, since nothing negative can be asked for."""
    field = metric.WhichOneof("value")
    if field is None or field == "bytes_value" or metric.is_null:
        return None
    value: Value = getattr(metric, field)
    return value


def numbered(first: int, definitions: Sequence[Definition]) -> tuple[Definition, ...]:
    """With aliases from `first` on: no two metrics of an edge node share one."""
    return tuple(replace(each, alias=i) for i, each in enumerate(definitions, first))
