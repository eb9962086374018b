"""A training step's memory is not asked of the kernel anew each time."""

import subprocess
import sys

STEPS = """
import resource, sys, numpy as np
from training.memory import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
def step():
    blocks = [np.ones(4_000_000, np.float32) for _ in range(4)]
    del blocks
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", STEPS, how], check=True, capture_output=True, text=True
    )
    return int(done.stdout)


def test_blocks_freed_in_a_step_cost_the_next_no_page_faults() -> None:
    assert faults("kept") < faults("default") / 10
