"""JSON schemas of what a station sends, and of what people write for it."""

from typing import Any

from inspector.contract.command import Command, Reply
from inspector.contract.result import InspectionResult
from inspector.contract.shadow import ShadowMessage
from inspector.contract.status import AlarmMessage, Heartbeat, StateMessage
from inspector.contract.strict import Strict
from inspector.settings import Settings
from inspector.station.recipe import Recipe

MESSAGES: dict[str, type[Strict]] = {
    "result": InspectionResult,
    "state": StateMessage,
    "alarm": AlarmMessage,
    "heartbeat": Heartbeat,
    "command": Command,
    "reply": Reply,
    "shadow": ShadowMessage,
}
FILES: dict[str, type[Strict]] = {"settings": Settings, "recipe": Recipe}


def schema(what: str) -> dict[str, Any]:
    """Of a message as it is sent, or of a file as it may be written."""
    if what in MESSAGES:
        return MESSAGES[what].model_json_schema(mode="serialization")
    return FILES[what].model_json_schema()
