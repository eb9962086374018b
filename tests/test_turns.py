"""The suite in several processes: most tests beside each other, some alone."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

BESIDE = """
import time, pathlib
{mark}
def test_one():
    with pathlib.Path("log").open("a", buffering=1) as log:
        log.write("{name} begins\\n")
        time.sleep(0.5)
        log.write("{name} ends\\n")
"""
ALONE = "import pytest\n@pytest.mark.alone"


def test_who_is_alone_has_no_neighbour_and_the_others_have(tmp_path: Path) -> None:
    shutil.copy(Path(__file__).with_name("conftest.py"), tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n  alone\ntestpaths = .\n")
    for name, mark in (("a", ""), ("b", ""), ("c", ALONE), ("d", ""), ("e", ALONE), ("f", "")):
        (tmp_path / f"test_{name}.py").write_text(BESIDE.format(name=name, mark=mark))
    words = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile"]
    outer = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    done = subprocess.run(
        words, cwd=tmp_path, env=outer, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    running: set[str] = set()
    most = 0
    for line in (tmp_path / "log").read_text().splitlines():
        name, what = line.split()
        (running.add if what == "begins" else running.remove)(name)
        most = max(most, len(running))
        assert not (running & {"c", "e"}) or len(running) == 1
    assert most == 2
