"""`inspector check`, of what lies on a disk: journal, state folder, archive and the shadow's."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from inspector.check_line import hidden, running
from inspector.contract.errors import ConfigError, InUseError, RecordError
from inspector.delivery import disagreements
from inspector.delivery.cursors import cursors_path, read_cursors
from inspector.delivery.journal import Journal, JournalReader
from inspector.delivery.ledger import require_ledger
from inspector.delivery.own_folder import require_free, require_own
from inspector.delivery.release import released_path
from inspector.finding import Finding
from inspector.settings import Settings, state_folder
from inspector.supervise.door import require_place
from inspector.supervise.starts import StartLog

MB = 1_000_000


def check_disk(settings: Settings) -> Iterator[Finding]:
    folder = settings.journal.path.parent
    yield from _check_folder("journal", folder)
    yield from _check_space("journal", folder, settings)
    yield from _check_journal(settings)
    yield from _check_commands(settings)
    yield from _check_folder("state_folder", state_folder(settings))
    other, unknown = running(settings), hidden(settings)
    if unknown:
        text = "whether a station runs there cannot be asked: Permission denied: check as its user"
        yield Finding("fault", f"state_folder {state_folder(settings)}: {text}")
    if other not in (None, settings.station):
        text = f"state_folder {state_folder(settings)}: station {other} runs there"
        yield Finding("fault", f"{text}: name one of its own")
    yield from _check_door(settings)
    stands = other is None and not unknown
    if stands:
        yield from _check_starts(settings)
    yield from _check_folder("archive", settings.archive.folder)
    yield from _check_share(settings)
    yield from _check_own(settings.archive.folder, "archive.folder", stands=stands)
    if settings.shadow is not None:
        yield from _check_folder("shadow", settings.shadow.folder)
        yield from _check_own(settings.shadow.folder, disagreements.FOLDER, stands=stands)


def _nearest(folder: Path) -> Path:
    """The folder, or the first above it that exists: where it would be made."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def _check_folder(what: str, folder: Path) -> Iterator[Finding]:
    """Writable now, or in a folder where it can be made."""
    there = _nearest(folder)
    try:
        # a real file: access bits say nothing about a read-only or a full file system
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        yield Finding("fault", f"{what}: {there} cannot be written: {error.strerror}")
    else:
        yield Finding("ok", f"{what}: {folder} can be written")


def _check_space(what: str, folder: Path, settings: Settings) -> Iterator[Finding]:
    there = _nearest(folder)
    free_mb = shutil.disk_usage(there).free // MB
    needed_mb = settings.journal.disk_free_min_mb
    if free_mb < needed_mb:
        text = f"{what}: {free_mb} MB are free on its disk, disk_free_min_mb is {needed_mb}"
        yield Finding("fault", text)
    else:
        yield Finding("ok", f"{what}: {free_mb} MB are free on its disk")


def _check_share(settings: Settings) -> Iterator[Finding]:
    """Pictures must leave room that results still have: nothing makes any once it is gone."""
    ours, its = settings.archive.disk_free_min_mb, settings.journal.disk_free_min_mb
    folders = (settings.archive.folder, settings.journal.path.parent)
    disks = {_nearest(folder).stat().st_dev for folder in folders}
    if ours <= its and len(disks) == 1 and settings.archive.keep != "none":
        yield Finding(
            "note",
            f"archive.disk_free_min_mb {ours} is not above journal.disk_free_min_mb {its}, on the "
            "same disk: pictures may fill it until nothing passes",
        )


def _check_journal(settings: Settings) -> Iterator[Finding]:
    """Open one that is there, as the station will; one that is not is not made by a check."""
    path = settings.journal.path
    left = cursors_path(path.resolve()), released_path(path.resolve())
    if not path.exists() and not any(each.exists() for each in left):
        return
    try:
        journal = Journal(settings.journal, station=settings.station)
        yield Finding("ok", f"journal: {path} ends at {journal.last_seq()}")
        journal.close()
    except InUseError as error:
        yield _beside_its_writer(settings, error)
    except (ConfigError, RecordError) as error:
        yield Finding("fault", str(error))


def _beside_its_writer(settings: Settings, used: InUseError) -> Finding:
    """What can be read while the station has it; a fault where somebody else does."""
    path = settings.journal.path
    writer = running(settings)
    if writer != settings.station:
        return Finding("fault", f"{used} (station {writer})" if writer else str(used))
    try:
        with JournalReader(path) as reader:
            last = reader.last_seq()
        read_cursors(path.resolve())
    except (ConfigError, RecordError) as error:
        return Finding("fault", str(error))
    by = f"in use by the running station, process {used.process}"
    return Finding("ok", f"journal: {path} is {by}; ends at {last}")


def _check_commands(settings: Settings) -> Iterator[Finding]:
    """What was answered, and the audit: without them no command would be followed once."""
    try:
        require_ledger(settings.journal.path)
    except (ConfigError, RecordError) as error:
        yield Finding("fault", str(error))


def _check_starts(settings: Settings) -> Iterator[Finding]:
    """Whether a start now would inspect, or wait for a person."""
    why = StartLog(state_folder(settings), settings.rules).expected()
    if why is not None:
        then = "once that has been seen: inspector command STATION.TOML reset, select, start"
        yield Finding("note", f"state_folder: it would begin in ERROR: {why}; {then}")


def _check_door(settings: Settings) -> Iterator[Finding]:
    """Whether the socket for this machine's commands can have its name."""
    try:
        with suppress(OSError):  # of the folder, which was looked at
            require_place(state_folder(settings))
    except ConfigError as error:
        yield Finding("fault", str(error))


def _check_own(folder: Path, key: str, *, stands: bool) -> Iterator[Finding]:
    """An archive deletes its oldest pictures, so it refuses a folder with other files in it, or
    that another archive has. stands: this station does not run, and so has it not itself.
    """
    try:
        require_own(folder, key)
        if stands:
            require_free(folder, key)
    except (ConfigError, InUseError) as error:
        yield Finding("fault", str(error))
    except OSError as error:
        yield Finding("fault", f"{key} {folder}: {error.strerror}")
