"""Where a reloaded bundle waits for the gap between two parts.

The loader's thread offers a finished job (recipe and runtime: the pair is the unit) and waits; the
station's thread takes it between two parts.
"""

import threading

from inspector.contract.status import BundleStatus
from inspector.station.cycle import Job
from inspector.station.ports import Frame


class JobExchange:
    """One thread offers, one takes."""

    status: BundleStatus = BundleStatus()
    """What the station's state says of reloads; written by who offers, replaced as a whole."""
    frame_size: tuple[int, int] | None = None
    """Height and width of the last frame: what a candidate is timed on."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answered = threading.Event()
        self._waiting: Job | None = None
        self._taken = False
        self._closed = False
        self._newest: Job | None = None
        """Taken, or prepared; the station's thread alone uses it."""

    def offer(self, job: Job, timeout_s: float) -> bool:
        """Leave a job and wait until the station has taken it. False where it did not in time.

        A station that has no recipe prepared takes it too, and keeps it: its next PREPARE_RECIPE
        begins with it. One that inspects by another recipe by now does not, nor one that has ended.
        """
        with self._lock:
            if self._closed:
                return False
            self._answered.clear()
            self._waiting, self._taken = job, False
        self._answered.wait(timeout_s)
        with self._lock:
            self._waiting = None
            return self._taken

    def take(self, serving: Job | None, last: Frame | None) -> Job | None:
        """Between two parts: the job that replaces `serving`, or None. Never blocks for long."""
        if last is not None:
            self.frame_size = last.image.shape[:2]
        if self._waiting is None:  # without the lock: every part comes by here
            return None
        with self._lock:
            job, self._waiting = self._waiting, None
            if job is None:
                return None
            self._taken = serving is None or serving.recipe.name == job.recipe.name
            self._answered.set()
            if not self._taken:
                return None
            self._newest = job
            return job if serving is not None else None

    def close(self) -> None:
        """The station ends: whoever waits is not kept until his time is over."""
        with self._lock:
            self._closed = True
            self._answered.set()

    @property
    def closed(self) -> bool:
        return self._closed

    def newest(self, ordered: Job) -> Job:
        """What PREPARE_RECIPE begins with: the job its order brings, or what was taken since that
        one was made. Who offered that was told that it serves.
        """
        if self._newest is None or ordered.number >= self._newest.number:
            self._newest = ordered
        return self._newest
