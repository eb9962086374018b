"""What a long study has found so far, so that it goes on after Ctrl-C or a power cut."""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from inspector.contract.errors import ConfigError
from inspector.contract.strict import Strict
from inspector.contract.whole import write_whole

PLAN = "plan.json"


def keep_plan(folder: Path, plan: Strict, changed: str) -> bool:
    """Remember what a folder's study asks for; whether it was begun before.

    changed: what to do about another plan. Raises ConfigError for a folder of another study.
    """
    path = folder / PLAN
    text = plan.model_dump_json(indent=1)
    try:
        before = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        write_whole(path, text.encode())
        return False
    if before == text:
        return True
    was, now = _fields(before), _fields(text)
    keys = [key for key in {**was, **now} if was.get(key) != now.get(key)]
    raise ConfigError(
        f"{path}: the study in this folder was begun otherwise ({', '.join(keys)}): {changed}"
    )


def _fields(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


class Lines:
    """A file of JSON objects, one a line, that only grows. A context."""

    def __init__(self, path: Path, *, durable: bool) -> None:
        """durable: each is on the disk when `add` returns; else a power cut may cost the last."""
        self._path = path
        self._durable = durable
        self.found = tuple(self._read())
        self._file = path.open("ab")

    def add(self, line: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
        self._file.flush()
        if self._durable:
            os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> "Lines":
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _read(self) -> Iterator[dict[str, Any]]:
        """A line that a power cut left half-written is cut off, and made again by who needs it."""
        if not self._path.exists():
            return
        data = self._path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            with self._path.open("r+b") as file:
                file.truncate(len(whole))
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                yield dict(json.loads(line))
            except (ValueError, TypeError):
                raise ConfigError(
                    f"{self._path}: line {number} cannot be read: begin anew in another folder"
                ) from None
