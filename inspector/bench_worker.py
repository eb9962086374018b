"""One runtime in a process of its own: its memory and CPU time are nobody else's, and where it
crashes it takes nothing with it. `inspector bench --runtimes` has one for each, and asks in turns.
"""

import multiprocessing
import resource
import sys
import time
from contextlib import suppress
from itertools import cycle, islice
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from inspector.contract.bundle import Bundle, read_bundle
from inspector.contract.errors import InspectorError
from inspector.contract.image import Image, decode, fit
from inspector.runtime.loader import new_runtime, self_test
from inspector.runtime.settings import RuntimeSettings

OPEN_S = 300.0
TURN_S = 300.0
WARM_UP_PARTS = 5


class Opened(NamedTuple):
    engine: str
    difference: float
    """The largest of a golden probability from the expected."""


class Turn(NamedTuple):
    """Some parts, one after another."""

    took_ms: list[float]
    cpu_ms: float
    """Of the whole process, all threads, over all these parts."""
    memory_mb: float
    """The most it ever was resident."""


class Worker:
    """Opened in the other process; a context manager that ends it."""

    def __init__(self, folder: Path, settings: RuntimeSettings, images: int) -> None:
        """images: in one batch, which is what one part takes."""
        context = multiprocessing.get_context("spawn")
        self._here, there = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(there, folder, settings, images), daemon=True
        )
        self._process.start()
        there.close()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._here.send(0)
        self._process.join(5.0)
        self._process.kill()
        self._here.close()

    def opened(self) -> Opened | str:
        """Why it cannot serve, or what it is."""
        found = self._receive(OPEN_S)
        return found if isinstance(found, Opened | str) else "answered something else"

    def run(self, parts: int) -> Turn | str:
        """Judge so many; why it did not, or how long they took."""
        with suppress(OSError):
            self._here.send(parts)
        found = self._receive(TURN_S)
        return found if isinstance(found, Turn | str) else "answered something else"

    def _receive(self, timeout_s: float) -> object:
        try:
            if self._here.poll(timeout_s):
                return self._here.recv()
        except (EOFError, OSError):
            self._process.join(1.0)
            return f"its process ended with {self._process.exitcode}"
        return f"gave no answer for {timeout_s:.0f} s"


def _serve(there: Connection, folder: Path, settings: RuntimeSettings, images: int) -> None:
    """In the other process."""
    try:
        bundle = read_bundle(folder)
        runtime = new_runtime(bundle, settings)
        there.send(Opened(runtime.engine, self_test(runtime, bundle)))
        golden = cycle(_golden(bundle))
        for _ in range(WARM_UP_PARTS):
            runtime.outputs(list(islice(golden, images)))
        while parts := there.recv():
            took_ms = []
            cpu = time.process_time()
            for _ in range(parts):
                batch = list(islice(golden, images))
                start = time.perf_counter()
                runtime.outputs(batch)
                took_ms.append(1_000 * (time.perf_counter() - start))
            cpu_ms = 1_000 * (time.process_time() - cpu)
            there.send(Turn(took_ms, cpu_ms, _peak_mb()))
    except InspectorError as error:
        there.send(str(error))
    except (EOFError, OSError, KeyboardInterrupt):
        sys.exit(1)  # who asked is gone


def _golden(bundle: Bundle) -> list[Image]:
    manifest = bundle.manifest
    pictures = (bundle.read(golden.file) for golden in manifest.golden)
    return [fit(decode(picture), manifest.image) for picture in pictures]


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
