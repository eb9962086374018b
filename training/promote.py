"""A candidate takes an incumbent's place, or does not, and a report says why.

What is promoted is signed and put whole into the folders that stations watch; the pointer is
written last, once every folder has it. Each station still verifies and tests it for itself.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from inspector.contract.alone import hold
from inspector.contract.bundle import SIGNATURE, Bundle, read_bundle
from inspector.contract.errors import BundleError, ConfigError
from inspector.contract.sums import sync
from inspector.contract.whole import write_whole
from inspector.runtime.folder import POINTER, point_to, read_wish
from inspector.runtime.signature import sign_bundle
from training.promote_html import write_html
from training.promotion import Decision, Evidence

LOCK = f"{POINTER}.lock"


def write_report(evidence: Evidence, decision: Decision, folder: Path) -> Path:
    """promote.json and promote.html; returns the page."""
    folder.mkdir(parents=True, exist_ok=True)
    text = f'{{"decision":{decision.model_dump_json()},"evidence":{evidence.model_dump_json()}}}'
    write_whole(folder / "promote.json", text.encode())
    page = folder / "promote.html"
    write_html(evidence, decision, page)
    return page


@contextmanager
def alone_in(folders: Sequence[Path]) -> Iterator[None]:
    """Be the only one who promotes into these folders: of two candidates that were compared with
    the same incumbent, the second would take the first one's place uncompared.

    Leaves `current.lock` there. Raises ConfigError where somebody else does just now, OSError.
    """
    with ExitStack() as held:
        for folder in sorted({folder.resolve() for folder in folders}):
            # opened to read: whoever may write into the folder can lock a file that another made
            handle = os.open(folder / LOCK, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
            held.callback(os.close, handle)
            with suppress(OSError):  # a file system without locks
                if not hold(handle):
                    raise ConfigError(
                        f"{folder}: another process promotes into it just now: try again after it"
                    )
        yield


def require_current(folders: Sequence[Path], candidate: Bundle, incumbent: Bundle) -> None:
    """Raises ConfigError where stations were asked for a third bundle meanwhile.

    What was compared with the incumbent says nothing about replacing another.
    """
    for folder in folders:
        if not folder.is_dir():
            raise ConfigError(f"--bundles {folder}: there is no such folder")
        wish = read_wish(folder)
        if wish is not None and wish.bundle not in (candidate.id, incumbent.id):
            raise ConfigError(
                f"{folder / POINTER}: names {wish.bundle}, not the incumbent {incumbent.id}: "
                f"compare with what runs"
            )


def offer(candidate: Path, folders: Sequence[Path], key: Path | None) -> list[str]:
    """Sign the bundle where there is a key, and have the stations of each folder load it.

    Returns what was done, in words. Raises BundleError, ConfigError; then no pointer was written.
    """
    said = []
    if key is not None:
        said.append(f"signed: {sign_bundle(candidate, key)}")
    bundle = read_bundle(candidate)
    places = [_put(bundle, folder) for folder in folders]
    return said + [f"offered: {point_to(place)} names {bundle.id}" for place in places]


def _put(bundle: Bundle, folder: Path) -> Path:
    """The bundle in a stations' folder, verified there. Raises BundleError."""
    place = folder / bundle.id
    try:
        if place.resolve() == bundle.folder.resolve():
            return place
        if place.exists():
            _take_signature(bundle, place)
        else:
            draft = folder / f".{bundle.id}.part"
            shutil.rmtree(draft, ignore_errors=True)
            shutil.copytree(bundle.folder, draft)
            for path in (draft, *draft.rglob("*")):
                sync(path)  # the pointer is on the disk at once: what it names must be before it
            draft.rename(place)
            sync(folder)
    except OSError as error:
        raise BundleError(f"{place}: cannot be put there: {error}") from None
    read_bundle(place)
    return place


def _take_signature(bundle: Bundle, place: Path) -> None:
    """The bundle is there already: its newest signature too. No strange file is ever in it."""
    if not (bundle.folder / SIGNATURE).exists():
        return
    part = place.with_name(f".{bundle.id}.sig.part")
    write_whole(place / SIGNATURE, (bundle.folder / SIGNATURE).read_bytes(), draft=part)
