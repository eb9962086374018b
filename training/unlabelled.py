"""Pictures nobody labelled (a station's archive), taught by the teacher alone.

Sources: Hinton et al. 2015, section 3 ("the transfer set could consist entirely of unlabelled
data"); Beyer et al. 2022, section 5. A picture that is, or nearly is, one of the parts held back
for validation, limits or the golden set would show the student what it is to be judged on, so it
is left out. A station whose recipe names a region keeps whole frames, of which nothing says where
the region lay, while labelled pictures of it are cuts: neither is one known by the other, nor is it
what the network is to see. Frames are told by their proportions.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from inspector.contract.bundle import file_sha256
from inspector.contract.errors import DataError
from inspector.contract.image import Image, decode, fit
from inspector.contract.strict import Strict
from inspector.contract.whole import write_whole
from training.dataset import SPLITS
from training.job import Data, Job
from training.likeness import Look, Looks, digest_of, look, nearly
from training.pictures import pictures_in
from training.plan import fingerprint
from training.room import blank
from training.run import Stage
from training.scan import LOOKS

WORDS = "words.json"
SHAPE_WITHIN = 0.02
"""By so much of itself width / height may be another than a labelled picture's: made small, a
picture's sides are rounded."""
OTHER_SHAPE = (
    "of another shape than any labelled picture (a station with a region keeps whole frames)"
)
Size = tuple[int, int]
"""Width and height."""


class Unlabelled(NamedTuple):
    """What the student sees beside the labelled images."""

    pixels: NDArray[np.uint8]
    """images x height x width x 3, as `fit` gives them."""
    names: tuple[str, ...]
    """Below the archive's folder."""
    looks: Looks
    lines: tuple[str, ...]
    """What was used and what was left out, in words."""


class _Kept(Strict):
    """words.json"""

    names: tuple[str, ...]
    lines: tuple[str, ...]


def read_unlabelled(job: Job, data: Data, folder: Path) -> Stage:
    """Read a folder's pictures once.

    Raises DataError where there is none to use, InspectorError where the disk has no room for them.
    """
    files = pictures_in(folder)
    if not files:
        raise DataError(f"plan: student.unlabelled.folder {str(folder)!r}: holds no image")
    sets = [name for name in SPLITS if name != "train"]
    held_back = data.images.looks.taken([i for name in sets for i in data.places(name)])
    near_at = job.plan.split.near_duplicate_at
    sizes = sorted({(width, height) for width, height, _ in data.images.report.sizes})

    def make(into: Path) -> None:
        spec = job.plan.image
        shape = (len(files), spec.height, spec.width, 3)
        pixels = blank(into / "draft.npy", np.uint8, shape)
        # also as the model sees them: an archive may keep pictures small
        held_pixels = (data.images.pixels[i] for name in sets for i in data.rows[name])
        digests = {*held_back.digests, *map(digest_of, held_pixels)}
        left_out: Counter[str] = Counter()
        read: dict[int, Look] = {}
        for i, path in enumerate(job.screen.bar(files, len(files), "reading unlabelled")):
            try:
                picture = decode(path.read_bytes())
                pixels[i] = fit(picture, spec)
            except (OSError, ValueError):
                left_out["unreadable"] += 1
                continue
            if sizes and not _is_shaped_as(picture, sizes):
                left_out[OTHER_SHAPE] += 1
                continue
            seen = look(picture)
            both = {seen.digest, digest_of(pixels[i])}
            if both & digests:
                left_out["a picture seen twice or held back"] += 1
                continue
            digests |= both
            read[i] = seen
        looks = Looks.of(list(read.values()))
        average = data.images.looks.faces().mean(axis=0)
        twins = nearly(looks, held_back, average, near_at)
        left_out["nearly a picture that is held back"] += len(twins)
        places = [k for k in range(len(looks)) if k not in twins]
        rows = list(read)
        used = [rows[k] for k in places]
        np.save(into / "pixels.npy", pixels[used])
        (into / "draft.npy").unlink()
        looks.taken(places).save(into / LOOKS)
        lines = [f"unlabelled: {len(used)} of {len(files)} images used"]
        lines += [f"  left out, {kind}: {n}" for kind, n in sorted(left_out.items()) if n]
        names = tuple(str(files[i].relative_to(folder)) for i in used)
        kept = _Kept(names=names, lines=tuple(lines))
        write_whole(into / WORDS, kept.model_dump_json().encode())

    digest = contents_of(files)
    held_key = list(held_back.digests)
    stage = job.run.stage("unlabelled", make, 3, digest, job.plan.image, near_at, held_key, sizes)
    for line in load_unlabelled(stage).lines:
        job.screen.once(f"  {line}")
    return stage


def contents_of(files: Sequence[Path]) -> str:
    """Names them by what is in them, wherever they lie."""
    return fingerprint([file_sha256(path) for path in files])


def _is_shaped_as(picture: Image, sizes: list[Size]) -> bool:
    high, wide = picture.shape[:2]
    return any(abs(wide * height / (high * width) - 1.0) <= SHAPE_WITHIN for width, height in sizes)


def load_unlabelled(stage: Stage) -> Unlabelled:
    """What the stage kept. Raises DataError where nothing was left to use."""
    kept = _Kept.model_validate_json((stage.folder / WORDS).read_text(encoding="utf-8"))
    pixels = np.load(stage.folder / "pixels.npy", mmap_mode="r")
    if not len(pixels):
        raise DataError(
            "plan: student.unlabelled: nothing is left to use; " + "; ".join(kept.lines)
        )
    return Unlabelled(pixels, kept.names, Looks.load(stage.folder / LOOKS), kept.lines)
