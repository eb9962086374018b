"""The payload, the host's STATE and the number of births: what needs no network."""

import math
import random
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from inspector.contract.errors import CommandError
from inspector.delivery import sparkplug_b_pb2 as proto
from inspector.delivery.sparkplug_host import BirthNumber, PrimaryHost
from inspector.delivery.sparkplug_metrics import NODE, PART, STATION
from inspector.delivery.sparkplug_payload import (
    DataType,
    Definition,
    Sample,
    Value,
    encode,
    read_written,
)
from tests.sparkplug.oracles import by_pysparkplug, other_python

ROOT = Path(__file__).parents[2]
MADE = "sparkplug_b_pb2.py"


def test_fields_and_numbers_are_those_of_another_make() -> None:
    (theirs,) = by_pysparkplug("--fields")
    for name in ("Payload", "Metric", "PropertySet", "PropertyValue"):
        table = proto.DESCRIPTOR.message_types_by_name[name]
        ours = {field.name: [field.number, field.type] for field in table.fields}
        assert ours == {field: theirs[name][field] for field in ours}


def test_the_checked_in_module_is_what_its_proto_makes(tmp_path: Path) -> None:
    words = ["-m", "grpc_tools.protoc", "-I.", f"--python_out={tmp_path}"]
    source = "inspector/delivery/sparkplug_b.proto"
    subprocess.run([str(other_python()), *words, source], cwd=ROOT, check=True)
    made = (tmp_path / "inspector" / "delivery" / MADE).read_bytes()
    assert made == (ROOT / "inspector" / "delivery" / MADE).read_bytes()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None])
def test_what_is_no_number_is_null(value: Value) -> None:
    metric = _sent(DataType.DOUBLE, value)
    assert metric.is_null
    assert metric.WhichOneof("value") is None


@pytest.mark.parametrize(
    ("datatype", "value", "field", "stands"),
    [
        (DataType.INT32, -1, "int_value", 2**32 - 1),
        (DataType.INT64, -1, "long_value", 2**64 - 1),
        (DataType.INT64, 2**40, "long_value", 2**40),
        (DataType.DATETIME, 1_767_323_045_678, "long_value", 1_767_323_045_678),
        (DataType.BOOLEAN, False, "boolean_value", False),
        (DataType.DOUBLE, 0, "double_value", 0.0),
        (DataType.STRING, "Grün \ud800", "string_value", "Grün ?"),
    ],
)
def test_values_stand_in_the_field_of_their_type(
    datatype: DataType, value: Value, field: str, stands: Value
) -> None:
    metric = _sent(datatype, value)
    assert metric.WhichOneof("value") == field
    assert getattr(metric, field) == stands


def test_values_come_in_the_order_of_their_times() -> None:
    of = Definition("x", DataType.INT32, alias=1)
    payload = encode([Sample(of, 2, 20), Sample(of, 1, 10)], at_ms=30, seq=0)
    assert [m.int_value for m in proto.Payload.FromString(payload).metrics] == [1, 2]


def test_no_two_metrics_share_a_name_or_an_alias() -> None:
    every = [*NODE, *PART.definitions, *STATION.definitions]
    assert len({each.name for each in every}) == len({each.alias for each in every}) == len(every)


def test_a_row_of_any_age_gives_every_metric() -> None:
    for row in ({}, {"part": None, "limits": 3, "times_ms": {"total": "?"}}):
        samples = PART.samples(row, 5)
        assert len(samples) == len(PART.definitions)


def test_damaged_messages_are_refused_or_read_and_nothing_else() -> None:
    generator = random.Random(5)  # noqa: S311 - the same every time
    host = PrimaryHost("scada")
    good = encode([Sample(Definition("x", DataType.INT32, alias=1), 2, 20)], at_ms=30, seq=0)
    for _ in range(5_000):
        data = bytearray(good if generator.random() < 0.5 else b'{"online":true,"timestamp":5}')
        for _ in range(generator.randrange(1, 5)):
            data[generator.randrange(len(data))] = generator.randrange(256)
        for read in (read_written, host.take):
            with suppress(CommandError):
                read(bytes(data))


def test_a_host_is_there_only_by_its_newest_word() -> None:
    host = PrimaryHost("scada")
    assert not host.online
    assert host.take(b'{"online":true,"timestamp":100}')
    assert host.online
    with pytest.raises(CommandError, match="older"):
        host.take(b'{"online":false,"timestamp":99}')
    assert host.online
    assert host.take(b'{"online":false,"timestamp":100,"more":1}'), (
        "a will repeats its birth's time"
    )
    host.take(b'{"online":true,"timestamp":101}')
    host.forget()
    assert not host.online, "on a new connection it has to be said again"


@pytest.mark.parametrize(
    "payload",
    [
        b"ONLINE",
        b"",
        b'{"online":1,"timestamp":5}',
        b'{"online":true}',
        b'{"online":true,"timestamp":NaN}',
    ],
)
def test_a_state_nobody_understands_changes_nothing(payload: bytes) -> None:
    host = PrimaryHost("scada")
    with pytest.raises(CommandError):
        host.take(payload)
    assert not host.online


def test_without_a_primary_host_nobody_is_waited_for() -> None:
    assert PrimaryHost(None).online


def test_birth_numbers_go_on_over_restarts_and_begin_again_after_255(tmp_path: Path) -> None:
    journal = tmp_path / "journal.db"
    assert BirthNumber(journal).next() == 0
    number = BirthNumber(journal)
    assert number.next() == 1
    number.unused()
    assert number.next() == 1, "no CONNECT went out with it"
    (tmp_path / "journal.db.sparkplug").write_text("255\n")
    assert BirthNumber(journal).next() == 0


def test_birth_numbers_count_on_where_nothing_can_be_written(tmp_path: Path) -> None:
    number = BirthNumber(tmp_path / "no-folder" / "journal.db")
    assert [number.next(), number.next()] == [0, 1]
    assert number.trouble is not None


def _sent(datatype: DataType, value: Value) -> proto.Metric:
    payload = encode([Sample(Definition("x", datatype, alias=1), value, 20)], at_ms=30, seq=0)
    metric: proto.Metric = proto.Payload.FromString(payload).metrics[0]
    return metric
