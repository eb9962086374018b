"""The short forms of what `python -m tests.benchmarks.commands` and `python -m tests.fuzz` try."""

import subprocess
import sys
from pathlib import Path

from tests.benchmarks.commands import attack


def test_commands_copied_forged_and_stale_have_one_effect_at_most(tmp_path: Path) -> None:
    outcome = attack(tmp_path, messages=400)
    assert not outcome.faults()
    assert outcome.done > 0
    assert outcome.good > 0


def test_no_message_crashes_a_parser_or_stays_in_memory() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", "--messages", "10000", "--plain"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "10000 messages" in done.stdout
    assert " 0 crashed" in done.stdout
