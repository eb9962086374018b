"""What a study leaves in its folder: a page for people, figures and rows for programs."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from inspector.contract.errors import ConfigError, DeviceError
from inspector.contract.strict import Strict
from inspector.contract.table import csv_line
from inspector.contract.whole import write_whole

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PRINT_S = 120.0


def write_study(
    folder: Path, name: str, page: str, figures: Strict, rows: Sequence[Mapping[str, Any]]
) -> tuple[Path, ...]:
    """NAME.html, NAME.json and NAME.csv, each whole or not at all; their paths.

    What an earlier study left there stays, under the time it was written: somebody signed it.
    """
    _set_aside(folder, name)
    paths = tuple(folder / f"{name}.{ending}" for ending in ("html", "json", "csv"))
    write_whole(paths[0], page.encode())
    write_whole(paths[1], (figures.model_dump_json(by_alias=True, indent=1) + "\n").encode())
    write_whole(paths[2], b"".join(_lines(rows)))
    return paths


def _set_aside(folder: Path, name: str) -> None:
    for ending in ("csv", "pdf", "html", "json"):  # the last says that they are a study's
        path, facts = folder / f"{name}.{ending}", folder / f"{name}.json"
        if path.exists() and facts.exists():
            written = datetime.fromtimestamp(facts.stat().st_mtime, UTC)
            path.rename(folder / f"{name}-{written:%Y%m%dT%H%M%S_%f}.{ending}")


def _lines(rows: Sequence[Mapping[str, Any]]) -> Iterable[bytes]:
    if rows:
        yield csv_line(rows[0])
    for row in rows:
        yield csv_line("" if value is None else value for value in row.values())


def study_folder(path: Path) -> Path:
    """The folder, made where it is not there. Raises ConfigError where it cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--out {path}: cannot be made: {error.strerror}") from None
    return path


def browser() -> str:
    """The program that prints. Raises ConfigError where this machine has none."""
    for name in BROWSERS:
        found = shutil.which(name)
        if found:
            return found
    raise ConfigError(
        f"--pdf: needs one of {', '.join(BROWSERS)} on this machine (Debian: apt-get install "
        "chromium); or leave it out and print the HTML page from any browser: it is laid out for A4"
    )


def print_pdf(program: str, page: Path) -> Path:
    """The page as PDF, beside it. Raises DeviceError where the browser fails."""
    target = page.with_suffix(".pdf")
    with tempfile.TemporaryDirectory(prefix="inspector-pdf-") as profile:
        draft = Path(profile) / "page.pdf"
        words = [program, "--headless", "--disable-gpu", f"--user-data-dir={profile}/profile"]
        # the page is our own and runs no script; root has no sandbox to put it in
        words += ["--no-sandbox"] if os.geteuid() == 0 else []
        words += ["--no-pdf-header-footer", f"--print-to-pdf={draft}", page.resolve().as_uri()]
        try:
            done = subprocess.run(  # noqa: S603 - a browser found by name, our own page
                words, capture_output=True, text=True, timeout=PRINT_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise DeviceError(f"--pdf: {program}: {error}") from None
        if done.returncode != 0 or not draft.is_file():
            last = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
            raise DeviceError(f"--pdf: {program} printed nothing: {last[:300]}")
        write_whole(target, draft.read_bytes())
    return target
