"""What can be known of the Telegraf configuration without Telegraf."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from inspector.contract import examples
from inspector.contract.result import InspectionResult
from inspector.contract.status import Heartbeat
from tests.delivery.results import result

CONF = Path(__file__).parent.parent.parent / "deploy" / "telegraf" / "inspector.conf"
INPUTS = tomllib.loads(CONF.read_text(encoding="utf-8"))["inputs"]["mqtt_consumer"]
KINDS: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "int": (int,),
    "float": (float, int),
    "bool": (bool,),
}
UNPICTURED = result(7).model_copy(
    update={
        "passed": False,
        "evaluation": "UNDEFINED",
        "cause": "no_frame",
        **dict.fromkeys(("label", "score", "novelty", "attestation", "captured_at", "trigger")),
        "regions": (),
    }
)
MESSAGES: dict[str, list[InspectionResult] | list[Heartbeat]] = {
    "result": [examples.RESULT, result(7), UNPICTURED],
    "heartbeat": [examples.HEARTBEAT],
}


def at(message: Any, path: str) -> Any:
    """As GJSON reads a path of names; a KeyError where there is nothing."""
    for name in path.split("."):
        message = message[name]
    return message


@pytest.mark.parametrize("number", range(len(INPUTS)))
def test_every_path_is_in_real_messages_with_its_type(number: int) -> None:
    topic = INPUTS[number]["topics"][0].rpartition("/")[2]
    (parser,) = INPUTS[number]["json_v2"]
    for message in MESSAGES[topic]:
        whole = json.loads(message.to_json())
        for each in parser["tag"] + parser["field"]:
            value = at(whole, each["path"])
            if value is None:
                assert each.get("optional"), each
                continue
            kind = KINDS[each.get("type", "string")]
            assert isinstance(value, kind), each
            assert isinstance(value, bool) is (kind == (bool,)), each


def test_no_result_is_dropped_for_want_of_a_time() -> None:
    assert "timestamp_path" not in INPUTS[0]["json_v2"][0]


def test_what_waits_at_the_broker_is_asked_for_at_qos_1_in_a_session_that_stays() -> None:
    assert (INPUTS[0]["qos"], INPUTS[0]["persistent_session"]) == (1, True)
    assert INPUTS[0]["client_id"] != INPUTS[1]["client_id"]
