"""The contract as an AsyncAPI 3.0 document, out of the table of topics and the message classes."""

import json
from typing import Any

from pydantic.json_schema import models_json_schema

from inspector.contract.channels import CHANNELS, Channel

VERSION = "2.0.0"
"""Of the contract as a whole: the first number rises where a consumer would have to change, or who
sends commands."""

_BINDING = "0.2.0"
_TEXT = """\
What a camera station says and hears over MQTT. Usable from MQTT 3.1.1; from MQTT 5 messages also
carry the content type application/json and, where stated, a message expiry. Payloads are JSON in
UTF-8; `schema` is the version of that message alone. The operations are the station's: it sends
what you subscribe to, and receives what you publish.

Consumers: (1) subscribe to `result`, drop a result_id you have seen, and expect seq without a gap;
(2) where one is missing, or the retained `state` speaks of rows you have not got, ask for them on
`replay`; (3) commit to your own disk, then acknowledge the newest row below which you have all.
The station keeps what a registered consumer has not acknowledged."""
_PARAMETERS = {
    "root": "The plant's path, as ISA-95 has it: enterprise/site/area/line. It holds slashes.",
    "station": "The station's name.",
    "consumer": "The consumer's name, as it is registered in the station's settings. A broker's "
    "access list should let each consumer publish below its own name alone.",
    "sender": "Who sends commands: the name of its key in the station's settings.",
}


def document() -> dict[str, Any]:
    """As JSON can write it."""
    models = list(dict.fromkeys(channel.model for channel in CHANNELS))
    _, schemas = models_json_schema(
        [(model, "serialization") for model in models],
        ref_template="#/components/schemas/{model}",
    )
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Visual inspection station",
            "version": VERSION,
            "description": _TEXT,
            "license": {
                "name": "Apache-2.0",
                "url": "https://www.apache.org/licenses/LICENSE-2.0",
            },
        },
        "defaultContentType": "application/json",
        "channels": {channel.name: _channel(channel) for channel in CHANNELS},
        "operations": {channel.name: _operation(channel) for channel in CHANNELS},
        "components": {
            "messages": {channel.name: _message(channel) for channel in CHANNELS},
            "parameters": {name: {"description": text} for name, text in _PARAMETERS.items()},
            "schemas": schemas["$defs"],
        },
    }


def _channel(channel: Channel) -> dict[str, Any]:
    names = [name for name in _PARAMETERS if f"{{{name}}}" in channel.address]
    return {
        "address": channel.address,
        "description": f"Published by the {channel.by}. {channel.text}",
        "parameters": {name: {"$ref": f"#/components/parameters/{name}"} for name in names},
        "messages": {channel.name: {"$ref": f"#/components/messages/{channel.name}"}},
    }


def _operation(channel: Channel) -> dict[str, Any]:
    mqtt: dict[str, Any] = {"qos": channel.qos, "retain": channel.retain}
    if channel.expiry_s is not None:
        mqtt["messageExpiryInterval"] = channel.expiry_s
    return {
        "action": "send" if channel.by == "station" else "receive",
        "channel": {"$ref": f"#/channels/{channel.name}"},
        "messages": [{"$ref": f"#/channels/{channel.name}/messages/{channel.name}"}],
        "bindings": {"mqtt": {**mqtt, "bindingVersion": _BINDING}},
    }


def _message(channel: Channel) -> dict[str, Any]:
    return {
        "name": channel.model.__name__,
        "contentType": "application/json",
        "payload": {"$ref": f"#/components/schemas/{channel.model.__name__}"},
        "examples": [{"payload": json.loads(channel.example.model_dump_json(by_alias=True))}],
    }
