"""Where the shadow's disagreements go: picture and both scores on disk, and a message."""

import logging
from collections.abc import Callable, Iterator
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from inspector.contract.errors import RecordError
from inspector.contract.image import Image
from inspector.contract.shadow import ShadowMessage
from inspector.contract.strict import Name, Strict
from inspector.delivery.archive import ArchiveSettings, ImageArchive

LIST = "disagreements.jsonl"
LIST_BYTES_MAX = 5_000_000

log = logging.getLogger(__name__)


class ShadowSettings(Strict):
    """A second bundle that judges the same parts without a say."""

    bundle: Name
    folder: Path
    """Its alone: pictures of parts it would have judged otherwise, the oldest deleted, and
    disagreements.jsonl with both scores (the last 5 to 10 MB)."""
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
        self._images = ImageArchive(archive)
        self._list = RotatingFileHandler(
            settings.folder / LIST, maxBytes=LIST_BYTES_MAX, backupCount=1, delay=True
        )

    def keep(self, message: ShadowMessage, image: Image) -> None:
        payload = message.to_json()
        self._list.emit(logging.makeLogRecord({"msg": payload.decode()}))
        self._images.offer(message.image, image)
        self._publish(payload)

    def start(self) -> None:
        self._images.start()

    def stop(self) -> None:
        self._images.stop()
        self._list.close()


def read_disagreements(folder: Path) -> Iterator[ShadowMessage]:
    """What a shadow's folder lists, oldest first, beside the station that writes it.

    A last line cut short by a power cut is left out. Raises RecordError where it cannot be read.
    """
    for name in (f"{LIST}.1", LIST):
        try:
            text = (folder / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            raise RecordError(f"{folder / name}: cannot be read: {error}") from error
        for line in text.splitlines():
            try:
                yield ShadowMessage.model_validate_json(line)
            except ValidationError as error:
                log.warning("%s: a line is no disagreement: %s", folder / name, error.errors()[0])
