"""Where the shadow's disagreements go: picture and both scores on disk, and a message."""

import json
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from inspector.contract.errors import RecordError
from inspector.contract.image import Image
from inspector.contract.result import InspectionResult
from inspector.contract.shadow import ShadowMessage, ShadowTally
from inspector.contract.strict import Name, Strict
from inspector.delivery.archive import ArchiveSettings, ImageArchive

LIST = "disagreements.jsonl"
COUNTS = "judged.json"
FOLDER = "shadow.folder"
"""What the settings call it."""
COUNTS_MAX = 200
"""Boots and pairs of bundles that are remembered."""
NOTE_S = 10.0
LIST_BYTES_MAX = 5_000_000

_Pair = tuple[str, str, str, str]
"""Station, boot, the bundle that served, the shadow's."""

log = logging.getLogger(__name__)


class ShadowSettings(Strict):
    """A second bundle that judges the same parts without a say."""

    bundle: Name
    folder: Path
    """Its alone: pictures of parts it would have judged otherwise, the oldest deleted,
    disagreements.jsonl with both scores (the last 5 to 10 MB), and judged.json: of how many."""
    size_max_mb: Annotated[int, Field(ge=1, le=10_000_000)] = 512
    queue_max: Annotated[int, Field(ge=1, le=8)] = 4
    """Frames that may wait for it; a part that finds no room is dropped and counted."""


class Disagreements:
    """Call from the shadow's thread. What cannot be written is logged, and stops nothing."""

    def __init__(self, settings: ShadowSettings, publish: Callable[[bytes], None]) -> None:
        """Raises ConfigError for a folder that holds somebody else's files."""
        self._publish = publish
        archive = ArchiveSettings(
            folder=settings.folder, size_max_mb=settings.size_max_mb, keep="all"
        )
        self._images = ImageArchive(archive, FOLDER)
        self._list = settings.folder / LIST
        self._counts_file = settings.folder / COUNTS
        self._judged: Counter[_Pair] = Counter()
        self._disagreed: Counter[_Pair] = Counter()
        for tally in read_tallies(settings.folder):
            pair = (tally.station, tally.boot, tally.serving, tally.shadow)
            self._judged[pair], self._disagreed[pair] = tally.judged, tally.disagreements
        self._noted_at = time.monotonic()

    def keep(self, message: ShadowMessage, image: Image) -> None:
        payload = message.to_json()
        pair = (message.station, message.boot, message.serving.bundle, message.shadow.bundle)
        self._disagreed[pair] += 1
        self._add_line(payload)
        self._images.offer(message.image, image)
        self._publish(payload)

    def note(self, result: InspectionResult, bundle: str) -> None:
        """One more part that both have judged; on disk within seconds, or when it stops."""
        self._judged[result.station, result.boot, result.bundle, bundle] += 1
        if time.monotonic() - self._noted_at >= NOTE_S:
            self._save_counts()

    def start(self) -> None:
        self._images.start()

    def stop(self) -> None:
        self._save_counts()
        self._images.stop()

    def _add_line(self, line: bytes) -> None:
        try:
            if self._list.exists() and self._list.stat().st_size + len(line) > LIST_BYTES_MAX:
                self._list.replace(self._list.with_name(f"{LIST}.1"))
            with self._list.open("ab+") as file:
                if file.tell():
                    file.seek(-1, os.SEEK_END)
                    # a power cut or a full disk has left half a line: it takes no other with it
                    line = line if file.read(1) == b"\n" else b"\n" + line
                file.write(line + b"\n")
        except OSError as error:
            log.warning("%s: cannot be written: %s", self._list, error.strerror)

    def _save_counts(self) -> None:
        self._noted_at = time.monotonic()
        names = ("station", "boot", "serving", "shadow")
        rows = [
            {
                **dict(zip(names, pair, strict=True)),
                "judged": n,
                "disagreements": self._disagreed[pair],
            }
            for pair, n in list(self._judged.items())[-COUNTS_MAX:]
        ]
        part = self._counts_file.with_name(f".{COUNTS}.part")
        try:
            part.write_text(json.dumps(rows), encoding="utf-8")
            part.replace(self._counts_file)
        except OSError as error:
            log.warning("%s: cannot be written: %s", self._counts_file, error.strerror)


def read_tallies(folder: Path) -> list[ShadowTally]:
    """How many parts each pair of bundles has judged; none where nobody counted."""
    path = folder / COUNTS
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return [ShadowTally.model_validate(row) for row in rows]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError) as error:  # counted anew: less evidence, never more
        log.warning("%s: cannot be read: %s", path, error)
        return []


def read_disagreements(folder: Path) -> Iterator[ShadowMessage]:
    """What a shadow's folder lists, oldest first, beside the station that writes it.

    A line cut short by a power cut or a full disk is left out, also within a letter. Raises
    RecordError where it cannot be read.
    """
    for name in (f"{LIST}.1", LIST):
        try:
            data = (folder / name).read_bytes()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise RecordError(f"{folder / name}: cannot be read: {error}") from error
        # as bytes: a part's id may hold what Python takes for the end of a line, U+2028 or U+0085
        for line in filter(None, data.split(b"\n")):
            try:
                yield ShadowMessage.model_validate_json(line)
            except ValidationError as error:
                log.warning("%s: a line is no disagreement: %s", folder / name, error.errors()[0])
