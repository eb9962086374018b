"""`inspector bench`: what the station adds to the bare model, measured part by part in one run.

Each part goes the whole way (frame, attestation, fit, model, judge, commit to a real journal on
disk), timed from its exposure, and right after it the bare onnxruntime call runs once more on the
same batch. So both see the same machine in the same mood; the second call finds warm caches, which
is to the station's cost. Frames lie in memory, or come from a capture process as a live camera's.
"""

import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from inspector.build import new_boot
from inspector.build_devices import build_camera, open_camera
from inspector.clock import SystemClock
from inspector.contract.bundle import read_bundle
from inspector.contract.defect_map import RegionMaps
from inspector.contract.errors import DeviceError, EndOfStream, FrameError, ModelError
from inspector.contract.image import Image
from inspector.contract.status import Spread
from inspector.contract.verdict import Evaluation
from inspector.delivery.journal import Journal, JournalSettings
from inspector.devices.camera_noise import Noise, noise_camera, noise_images
from inspector.runtime.loader import open_runtime
from inspector.runtime.model import ModelRuntime
from inspector.serves import serving_job
from inspector.settings import read_settings
from inspector.station.cycle import Gear, Job, inspect_part
from inspector.station.ports import Camera, Frame, Part
from inspector.station.recipe import Recipe
from inspector.station.spread import spread
from inspector.station.tally import Tally

WARM_UP_PARTS = 20
FRAMES_KEPT = 16
DEADLINE_MS = 5_000


@dataclass(frozen=True, slots=True)
class Bench:
    """All in milliseconds, over the same parts."""

    bundle: str
    library: str
    size: str
    raw: Spread
    """The runtime's bare call."""
    verdict: Spread
    """From the exposure of its frame until the row is durable."""
    overhead: Spread
    """The one less the other, part by part."""
    commit: Spread
    raw_parts_per_s: float
    parts_per_s: float


class MemoryCamera:
    """Frames that are there already: what is measured is the station, not a camera."""

    simulated = True
    restarts = 0

    def __init__(self, images: list[Image]) -> None:
        self._images = images
        self._sequence = 0

    def open(self) -> None: ...

    def grab(self, *, not_before: float, timeout_s: float) -> Frame:  # noqa: ARG002 - is there
        self._sequence += 1
        image = self._images[self._sequence % len(self._images)]
        return Frame(image, max(time.monotonic(), not_before), self._sequence)

    def close(self) -> None: ...


class NoArchive:
    """Keeps nothing."""

    dropped = 0

    def keeps(self, evaluation: Evaluation) -> bool:  # noqa: ARG002 - none is kept
        return False

    def offer(self, name: str, image: Image, maps: RegionMaps | None = None) -> None: ...


class NoPublisher:
    """Tells nobody."""

    consumers = ()

    def wake(self) -> None: ...

    def offer_state(self, payload: bytes) -> None: ...

    def offer_alarm(self, payload: bytes) -> None: ...

    def beat(self, payload: bytes) -> None: ...


def bench_station(path: Path, parts: int, *, live: bool) -> Bench:
    """With the station's own recipe and what serves it, camera pictures, and its journal's disk.

    live: the camera goes on while it is measured; else a few of its pictures are kept for that.
    """
    settings = read_settings(path)
    camera = build_camera(settings.camera)
    (job, _), disk = serving_job(settings), settings.journal.path.parent
    if live:
        return _with(camera, job, parts, disk)
    return measure(job, MemoryCamera(_frames(camera)), parts, disk)


def bench_bundle(folder: Path, noise: Noise, parts: int, disk: Path, *, live: bool) -> Bench:
    """With frames of noise, each judged whole. live: through a capture process."""
    runtime = open_runtime(read_bundle(folder))
    recipe = Recipe(name="bench", bundle=runtime.bundle_id, deadline_ms=DEADLINE_MS)
    camera: Camera = noise_camera(noise) if live else MemoryCamera(noise_images(noise))
    return _with(camera, Job(recipe, runtime), parts, disk)


def _with(camera: Camera, job: Job, parts: int, disk: Path) -> Bench:
    try:
        open_camera(camera)
        return measure(job, camera, parts, disk)
    finally:
        camera.close()


def measure(job: Job, camera: Camera, parts: int, disk: Path) -> Bench:
    """Interleaved: one part, one bare call. The journal is a new one in a folder on `disk`."""
    if not isinstance(job.runtime, ModelRuntime):
        raise TypeError("the bare call is a runtime's")
    disk.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="inspector-bench-", dir=disk) as scratch:
        journal = Journal(JournalSettings(path=Path(scratch) / "journal.db"))
        gear = Gear(
            station="bench",
            boot=new_boot(),
            camera=camera,
            journal=journal,
            archive=NoArchive(),
            publisher=NoPublisher(),
            clock=SystemClock(),
        )
        try:
            times = list(_times(job, job.runtime, gear, WARM_UP_PARTS + parts))[WARM_UP_PARTS:]
        finally:
            journal.close()
    verdict_ms, commit_ms, raw_ms, sizes = zip(*times, strict=True)
    overhead_ms = [v - r for v, r in zip(verdict_ms, raw_ms, strict=True)]
    return Bench(
        bundle=job.runtime.bundle_id,
        library=job.runtime.engine.split()[0],
        size=sizes[0],
        raw=_spread(raw_ms),
        verdict=_spread(verdict_ms),
        overhead=_spread(overhead_ms),
        commit=_spread(commit_ms),
        raw_parts_per_s=1000 * parts / sum(raw_ms),
        parts_per_s=1000 * parts / sum(verdict_ms),
    )


def report(bench: Bench) -> Iterator[str]:
    """The figures as a person reads them."""
    yield f"bundle {bench.bundle}, frames of {bench.size}, n = {bench.raw.n} parts, in ms"
    form = "{:<44} {:>9} {:>9} {:>10}"
    yield form.format("", "p50", "p99", "parts/s")
    for text, times, per_s in (
        (f"{bench.library} alone", bench.raw, f"{bench.raw_parts_per_s:.1f}"),
        ("exposure to verdict, journal commit included", bench.verdict, f"{bench.parts_per_s:.1f}"),
        ("  overhead: the second less the first", bench.overhead, ""),
        ("  the journal commit in it", bench.commit, ""),
    ):
        yield form.format(text, f"{times.p50:.3f}", f"{times.p99:.3f}", per_s)


def _frames(camera: Camera) -> list[Image]:
    """A few of the camera's own. Raises DeviceError where it gives none at all."""
    images: list[Image] = []
    try:
        open_camera(camera)
        for _ in range(FRAMES_KEPT):
            with suppress(FrameError):  # one bad picture among them does not matter here
                images.append(camera.grab(not_before=time.monotonic(), timeout_s=10.0).image)
    except EndOfStream:
        if not images:
            raise
    finally:
        camera.close()
    if not images:
        raise DeviceError("the camera gave no picture that can be read")
    return images


def _times(
    job: Job, runtime: ModelRuntime, gear: Gear, parts: int
) -> Iterator[tuple[float, float, float, str]]:
    """Exposure to verdict, commit, and the bare call, in milliseconds, and the frame's size.

    Raises ModelError where a part could not be judged: its times would mean nothing.
    """
    last: Frame | None = None
    tally = Tally()
    for sequence in range(1, parts + 1):
        part = Part(sequence, None, time.monotonic())
        done = inspect_part(part, job, gear, last, tally.reserve_ms)
        if not done.result.regions:  # a part that was not judged takes no time to judge
            raise ModelError(f"a part could not be judged: {done.result.reason}")
        if done.frame is None:
            raise ModelError("a part was judged without a frame")
        last = done.frame
        # waiting for the camera's next frame is not the station's work
        verdict_ms = done.total_ms - 1000 * (last.exposed_at - part.seen_at)
        before = time.perf_counter()
        runtime.run_again()
        raw_ms = 1000 * (time.perf_counter() - before)
        yield verdict_ms, done.commit_ms, raw_ms, f"{last.image.shape[1]}x{last.image.shape[0]}"


def _spread(values: tuple[float, ...] | list[float]) -> Spread:
    found = spread(values)
    if found is None:
        raise ValueError("at least one part has to be measured")
    return found
