"""What the tests of the studies share."""

import contextlib
import io
import json
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from inspector.cli import main


def run_study(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """`inspector study ...`, in this process: starting one takes longer than most studies.

    On a thread of its own, since a recheck gives way to others.
    """
    arguments = ["study", *map(str, words)]
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        ThreadPoolExecutor(1) as thread,
    ):
        code = thread.submit(main, arguments).result()
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


def figures(folder: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    return found


def page(folder: Path, name: str) -> str:
    """The page's HTML, which must fetch nothing and run nothing."""
    text = (folder / f"{name}.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in text
    assert "<script" not in text
    assert not re.findall(r'(?:src|href)="(?!data:image/jpeg;base64,)', text)
    assert "url(" not in text
    return text
