"""What the process says to stderr: one line an event, for people or for machines."""

import faulthandler
import json
import logging
import time
from typing import Literal

from inspector.contract.strict import Strict

CONTEXT = ("seq", "part", "bundle")


class LogSettings(Strict):
    format: Literal["text", "json"] = "text"
    """json: one object a line, with seq, part and bundle where an event is about one part."""


class JsonFormatter(logging.Formatter):
    """One object a line, whatever an event's text holds."""

    def __init__(self) -> None:
        super().__init__()
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        event = {
            "time": f"{self.formatTime(record, '%Y-%m-%dT%H:%M:%S')}.{record.msecs:03.0f}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        event |= {key: vars(record)[key] for key in CONTEXT if key in vars(record)}
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        return json.dumps(event, ensure_ascii=False, default=str)


def set_up_logs(settings: LogSettings | None = None) -> None:
    """To stderr from here on."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if _is_json(settings) else _text())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    faulthandler.enable()


def _is_json(settings: LogSettings | None) -> bool:
    return settings is not None and settings.format == "json"


def _text() -> logging.Formatter:
    formatter = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    formatter.converter = time.gmtime
    formatter.default_time_format = "%Y-%m-%dT%H:%M:%S"
    formatter.default_msec_format = "%s.%03dZ"
    return formatter
