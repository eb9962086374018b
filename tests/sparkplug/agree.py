"""Run in an environment of its own, with pysparkplug: what it makes of recorded messages.

Reads a JSON line for each message (topic, payload in base64), writes what it decoded as JSON; with
`--fields` it writes the field table of its own protobuf instead.
"""

import base64
import json
import sys

from pysparkplug import _protobuf, _topic  # type: ignore[import-not-found]


def fields() -> dict[str, dict[str, list[int]]]:
    payload = _protobuf.Payload.DESCRIPTOR
    nested = payload.nested_types_by_name
    tables = {"Payload": payload}
    tables |= {name: nested[name] for name in ("Metric", "PropertySet", "PropertyValue")}
    return {
        name: {field.name: [field.number, field.type] for field in table.fields}
        for name, table in tables.items()
    }


def main() -> None:
    births: dict[str, object] = {}
    for line in sys.stdin:
        message = json.loads(line)
        topic = _topic.Topic.from_str(message["topic"])
        kind = topic.message_type.payload
        below = topic.device_id or ""
        raw = base64.b64decode(message["payload"])
        decoded = kind.decode(raw, birth=births.get(below))
        if "BIRTH" in message["topic"].split("/")[2]:
            births[below] = decoded
        if not hasattr(decoded, "metrics"):
            _say({"bdSeq": decoded.bd_seq_metric.value})
            continue
        metrics = [
            [m.name, m.datatype.name, _plain(m.value), m.timestamp, m.is_historical]
            for m in decoded.metrics
        ]
        _say({"seq": decoded.seq, "metrics": metrics})


def _say(what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")


def _plain(value: object) -> object:
    """Times come as datetimes."""
    return round(value.timestamp() * 1000) if hasattr(value, "timestamp") else value


if sys.argv[1:] == ["--fields"]:
    _say(fields())
else:
    main()
