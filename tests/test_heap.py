"""All threads of the station share one heap of the C library's."""

import platform
import subprocess
import sys

import pytest

# each thread's allocations would open a heap of its own; malloc_info writes what there is
MANY_THREADS = """
import ctypes, sys, threading
if sys.argv[1] == "one":
    from inspector.heap import one_heap
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
