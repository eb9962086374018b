"""Pictures nobody labelled (a station's archive), taught by the teacher alone.

Sources: Hinton et al. 2015, section 3 ("the transfer set could consist entirely of unlabelled
data"); Beyer et al. 2022, section 5. A picture that is, or nearly is, one of the parts held back
for validation, limits or the golden set would show the student what it is to be judged on, so it
is left out.
"""

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from inspector.contract.bundle import file_sha256
from inspector.contract.errors import DataError
from inspector.contract.image import decode, fit
from inspector.contract.whole import write_whole
from training.dataset import IMAGE_SUFFIXES
from training.job import Data, Job
from training.plan import fingerprint
from training.run import Stage
from training.scan import face, near_twins


class Unlabelled(NamedTuple):
    """What the student sees beside the labelled images."""

    pixels: NDArray[np.uint8]
    """images x height x width x 3, as `fit` gives them."""
    lines: tuple[str, ...]
    """What was used and what was left out, in words."""


def read_unlabelled(job: Job, data: Data, folder: Path) -> Stage:
    """Read a folder's pictures once. Raises DataError where there is none to use."""
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
    if not files:
        raise DataError(f"plan: student.unlabelled.folder {str(folder)!r}: holds no image")
    rows = np.concatenate([data.rows[s] for s in ("validation", "calibration", "golden")])
    held_back = data.images.pixels[rows]
    held_digests = {hashlib.sha256(pixels.tobytes()).hexdigest() for pixels in held_back}
    near_at = job.plan.split.near_duplicate_at

    def make(into: Path) -> None:
        spec = job.plan.image
        shape = (len(files), spec.height, spec.width, 3)
        pixels = open_memmap(into / "draft.npy", mode="w+", dtype=np.uint8, shape=shape)
        faces, digests = [face(pixels) for pixels in held_back], set(held_digests)
        left_out: Counter[str] = Counter()
        read: list[int] = []
        for i, path in enumerate(job.screen.bar(files, len(files), "reading unlabelled")):
            try:
                pixels[i] = fit(decode(path.read_bytes()), spec)
            except (OSError, ValueError):
                left_out["unreadable"] += 1
                continue
            digest = hashlib.sha256(pixels[i].tobytes()).hexdigest()
            if digest in digests:
                left_out["a picture seen twice or held back"] += 1
                continue
            digests.add(digest)
            faces.append(face(pixels[i]))
            read.append(i)
        n = len(held_back)
        twins = {j - n for i, j in near_twins(np.stack(faces), near_at) if i < n <= j}
        left_out["nearly a picture that is held back"] += len(twins)
        used = [i for k, i in enumerate(read) if k not in twins]
        np.save(into / "pixels.npy", pixels[used])
        (into / "draft.npy").unlink()
        lines = [f"unlabelled: {len(used)} of {len(files)} images used"]
        lines += [f"  left out, {kind}: {n}" for kind, n in sorted(left_out.items()) if n]
        write_whole(into / "lines.json", json.dumps(lines).encode())

    digest = fingerprint([file_sha256(path) for path in files])
    # the pictures themselves: other ones may stand in the same rows by now
    held_key = fingerprint(sorted(held_digests))
    stage = job.run.stage("unlabelled", make, 1, digest, job.plan.image, near_at, held_key)
    for line in load_unlabelled(stage).lines:
        job.screen.say(f"  {line}")
    return stage


def load_unlabelled(stage: Stage) -> Unlabelled:
    """What the stage kept. Raises DataError where nothing was left to use."""
    lines = json.loads((stage.folder / "lines.json").read_text(encoding="utf-8"))
    pixels = np.load(stage.folder / "pixels.npy", mmap_mode="r")
    if not len(pixels):
        raise DataError("plan: student.unlabelled: nothing is left to use; " + "; ".join(lines))
    return Unlabelled(pixels, tuple(lines))
