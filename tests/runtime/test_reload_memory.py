"""Memory over many reloads, in a process of its own. The long form takes the demo's model:
`pytest -m slow tests/runtime/test_reload_memory.py`.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import median

import pytest

from inspector.contract.bundle import read_bundle, write_bundle
from tests.support import make_bundle

ROOT = Path(__file__).parent.parent.parent
GROWTH_MAX = 1.10
SETTLED = 5
"""Reloads after which everything has been loaded, twice."""
SPAN = 10
"""Right after a swap a few megabytes more or less wait to be given back: medians, not moments."""


def megabytes_over(folder: Path, reloads: int, *bundles: Path) -> list[float]:
    command = [sys.executable, "-m", "tests.runtime.reloads", str(folder), str(reloads)]
    done = subprocess.run(
        [*command, *map(str, bundles)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3_000:]
    megabytes: list[float] = json.loads(done.stdout.splitlines()[-1])["megabytes"]
    assert len(megabytes) == reloads + 1
    return megabytes


def growth(megabytes: list[float]) -> float:
    """The last reloads against the first ones after which everything had been loaded."""
    return median(megabytes[-SPAN:]) / median(megabytes[SETTLED : SETTLED + SPAN])


def test_sixty_reloads_leave_no_memory_behind(tmp_path: Path) -> None:
    first, second = (make_bundle(tmp_path / "bundles", notice=notice) for notice in ("", "x"))
    megabytes = megabytes_over(tmp_path, 60, first.folder, second.folder)
    assert growth(megabytes) <= GROWTH_MAX, megabytes


@pytest.mark.slow
def test_200_reloads_of_a_real_model_leave_no_memory_behind(tmp_path: Path) -> None:
    (demo,) = (ROOT / "inspector" / "demo" / "bundle").iterdir()
    first = Path(shutil.copytree(demo, tmp_path / "bundles" / demo.name))
    draft = Path(shutil.copytree(demo, tmp_path / "bundles" / ".draft"))
    manifest = read_bundle(demo).manifest.model_copy(update={"certificate": "another"})
    second = write_bundle(draft, manifest, tmp_path / "bundles")
    megabytes = megabytes_over(tmp_path, 200, first, second.folder)
    assert growth(megabytes) <= GROWTH_MAX, megabytes
    # and against the moment before the first of them
    assert median(megabytes[-SPAN:]) / megabytes[0] <= GROWTH_MAX, megabytes
