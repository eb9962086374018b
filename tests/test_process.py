"""What is set up before the station's first thread: one heap, and short turns of the others."""

import platform
import subprocess
import sys

import pytest

# each thread's allocations would open a heap of its own; malloc_info writes what there is
MANY_THREADS = """
import ctypes, sys, threading
if sys.argv[1] == "one":
    from inspector.process import one_heap
    one_heap()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
meet = threading.Barrier(4)
def work():
    meet.wait()
    for _ in range(2000):
        libc.malloc(4096)
threads = [threading.Thread(target=work) for _ in range(4)]
[each.start() for each in threads]
[each.join() for each in threads]
sys.stdout.flush()
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
libc.fflush(None)
"""


def heaps(how: str) -> int:
    command = [sys.executable, "-c", MANY_THREADS, how]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.count("<heap nr=")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has several heaps")
def test_however_many_threads_allocate_there_is_one_heap() -> None:
    assert heaps("each its own") > 1
    assert heaps("one") == 1


# how long a thread waits for Python's lock while another computes
WAIT = """
import sys, threading, time
from inspector.process import short_turns
def usual_wait_s():
    over = threading.Event()
    def compute():
        while not over.is_set():
            sum(range(100))
    threading.Thread(target=compute).start()
    found = []
    for _ in range(40):
        at = time.monotonic()
        time.sleep(0.001)
        found.append(time.monotonic() - at)
    over.set()
    return sorted(found)[20]
before = usual_wait_s()
short_turns()
print(before / usual_wait_s())
"""


def test_the_station_waits_a_fraction_of_the_time_for_a_thread_that_computes() -> None:
    command = [sys.executable, "-c", WAIT]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(done.stdout) > 2.0
