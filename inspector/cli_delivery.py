"""The commands about results that have left, or wait to: subscribe, journal, schema."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from inspector.arguments import part_count

Add = Callable[[str, Callable[[argparse.Namespace], int], str], Any]

SENT = ("result", "state", "alarm", "heartbeat", "command", "reply", "shadow")
CONSUMERS = ("ack", "replay", "replayed", "consumer-reply")


def add_commands(add: Add) -> None:
    subscribe = add("subscribe", _subscribe, "store every result of some stations, prove it is all")
    subscribe.add_argument("settings", type=Path, metavar="CONSUMER.TOML")
    subscribe.add_argument(
        "--expect", type=part_count, metavar="N", help="end once N results were stored"
    )
    subscribe.add_argument(
        "--for", type=float, dest="seconds", metavar="SECONDS", help="end after this time"
    )

    schema = add("schema", _schema, "print a JSON schema, or all of it as AsyncAPI")
    schema.add_argument("what", choices=(*SENT, *CONSUMERS, "settings", "recipe", "subscribe"))


def _subscribe(args: argparse.Namespace) -> int:
    import signal
    import threading
    import time

    from inspector.consumer.client import Subscriber
    from inspector.consumer.settings import read_subscribe_settings
    from inspector.logs import set_up_logs

    set_up_logs()
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    end = float("inf") if args.seconds is None else time.monotonic() + args.seconds
    subscriber = Subscriber(
        read_subscribe_settings(args.settings),
        expect=args.expect,
        stop=lambda: stopped.is_set() or time.monotonic() >= end,
    )
    report = subscriber.run()
    for line in report.lines:
        print(line)
    return report.code


def _schema(args: argparse.Namespace) -> int:
    from inspector.consumer.settings import SubscribeSettings
    from inspector.contract.command import Command, Reply
    from inspector.contract.consumer import (
        Acknowledgement,
        ConsumerReply,
        ReplayedResult,
        ReplayRequest,
    )
    from inspector.contract.result import InspectionResult
    from inspector.contract.shadow import ShadowMessage
    from inspector.contract.status import AlarmMessage, Heartbeat, StateMessage
    from inspector.contract.strict import Strict
    from inspector.settings import Settings
    from inspector.station.recipe import Recipe

    told = (StateMessage, AlarmMessage, Heartbeat)
    messages = (InspectionResult, *told, Command, Reply, ShadowMessage)
    consumers = (Acknowledgement, ReplayRequest, ReplayedResult, ConsumerReply)
    sent: dict[str, type[Strict]] = dict(
        zip((*SENT, *CONSUMERS), (*messages, *consumers), strict=True)
    )
    written: dict[str, type[Strict]] = {
        "settings": Settings,
        "recipe": Recipe,
        "subscribe": SubscribeSettings,
    }
    if args.what in sent:
        schema = sent[args.what].model_json_schema(mode="serialization")
    else:
        schema = written[args.what].model_json_schema()
    print(json.dumps(schema, indent=2, sort_keys=True))
    return 0
