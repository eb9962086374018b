"""The JSON schema of every message and file, out of the classes that read and write them."""

from typing import Any

from inspector.consumer.settings import SubscribeSettings
from inspector.contract.asyncapi import document
from inspector.contract.command import Command, Reply
from inspector.contract.consumer import (
    Acknowledgement,
    ConsumerReply,
    ReplayedResult,
    ReplayRequest,
)
from inspector.contract.echo import EchoMessage
from inspector.contract.line import LineMessage
from inspector.contract.result import InspectionResult
from inspector.contract.shadow import ShadowMessage
from inspector.contract.signed import SignedCommand
from inspector.contract.status import AlarmMessage, Heartbeat, StateMessage
from inspector.contract.strict import Strict
from inspector.contract.trigger import TriggerMessage
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
    "trigger": TriggerMessage,
    "line": LineMessage,
    "echo": EchoMessage,
    "ack": Acknowledgement,
    "replay": ReplayRequest,
    "replayed": ReplayedResult,
    "consumer-reply": ConsumerReply,
    "envelope": SignedCommand,
}
FILES: dict[str, type[Strict]] = {
    "settings": Settings,
    "recipe": Recipe,
    "subscribe": SubscribeSettings,
}


def schema_of(what: str) -> dict[str, Any]:
    """Of a message as it is sent, or a file as it is written; `asyncapi`: the whole contract."""
    if what == "asyncapi":
        return document()
    if what in MESSAGES:
        return MESSAGES[what].model_json_schema(mode="serialization")
    return FILES[what].model_json_schema()
