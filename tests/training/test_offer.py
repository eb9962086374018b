"""What is promoted lies whole in the stations' folders, and one is promoted at a time."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from inspector.contract.bundle import Bundle
from inspector.contract.errors import ConfigError
from inspector.contract.verdict import Limits
from inspector.runtime.folder import POINTER, read_wish
from tests.support import make_bundle
from training.promote import alone_in, offer, require_current

OFFER = """
import sys, pathlib
from training.promote import offer
candidate, plant = map(pathlib.Path, sys.argv[1:])
offer(candidate, [plant], None)
"""
PROMOTE = """
import sys, pathlib
from inspector.contract.bundle import read_bundle
from training.promote import alone_in, offer, require_current
candidate, incumbent, plant = map(pathlib.Path, sys.argv[1:])
with alone_in([plant]):
    require_current([plant], read_bundle(candidate), read_bundle(incumbent))
    print("in", flush=True)
    sys.stdin.readline()
    offer(candidate, [plant], None)
"""


def bundles(root: Path, count: int) -> list[Bundle]:
    return [
        make_bundle(root / "made", limits=Limits(review_at=0.1 * (i + 1), reject_at=0.9))
        for i in range(count)
    ]


def test_of_two_candidates_at_once_only_one_is_compared_with_what_it_replaces(
    tmp_path: Path,
) -> None:
    incumbent, first, second = bundles(tmp_path, 3)
    plant = tmp_path / "plant"
    plant.mkdir()
    offer(incumbent.folder, [plant], None)
    words = [sys.executable, "-c", PROMOTE, *map(str, (first.folder, incumbent.folder, plant))]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, text=True, stdin=pipe, stdout=pipe) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "in\n"
        with (
            pytest.raises(ConfigError, match="another process promotes into it"),
            alone_in([plant]),
        ):
            pass
        other.communicate("\n", timeout=60)
    wish = read_wish(plant)
    assert wish is not None
    assert wish.bundle == first.id
    with alone_in([plant, plant / "."]), pytest.raises(ConfigError, match="compare with what runs"):
        require_current([plant], second, incumbent)


def test_all_of_a_bundle_is_on_the_disk_before_the_pointer_names_it(tmp_path: Path) -> None:
    if not shutil.which("strace"):
        pytest.skip("needs the Debian package strace")
    (bundle,) = bundles(tmp_path, 1)
    plant, seen = tmp_path / "plant", tmp_path / "seen"
    plant.mkdir()
    trace = ["strace", "-f", "-y", "-qq", "-s", "500", "-o", str(seen)]
    trace += ["-e", "trace=fsync,rename,renameat,renameat2"]
    words = [*trace, sys.executable, "-c", OFFER, str(bundle.folder), str(plant)]
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=120)
    if "ptrace" in done.stderr:
        pytest.skip("strace is not permitted here")
    assert done.returncode == 0, done.stderr
    before = seen.read_text().partition(f'{POINTER}"')[0]
    draft = plant / f".{bundle.id}.part"
    synced = {Path(path) for path in re.findall(r"fsync\(\d+<(.+?)>\)", before)}
    expected = {draft / path.relative_to(bundle.folder) for path in bundle.folder.rglob("*")}
    assert synced >= {*expected, draft, plant}
