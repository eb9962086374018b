"""What is wrong with the images, before an hour is spent on them; and their pixels, read once."""

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inspector.contract.errors import DataError
from inspector.contract.image import ImageSpec, decode, fit
from inspector.contract.strict import Strict
from inspector.contract.whole import write_whole
from training.dataset import Dataset, Sample
from training.likeness import NO_LOOKS, Look, Looks, look, near_twins
from training.room import blank
from training.split import groups_of

LOOKS = "looks.npz"
Pairs = tuple[tuple[int, int], ...]
TINY_SIDE = 32
"""Pixels: a picture smaller than this on one side shows no defect a person could name."""

SHOWN = 5
"""Findings of a kind that a person is shown; the rest for who asks."""
LISTS = "inspector-train scan DATA --json FILE"


class Finding(Strict):
    """One thing the person who collected the images should look at."""

    kind: str
    image: str
    other: str = ""
    what: str = ""
    excluded: bool = False


class ScanReport(Strict):
    layout: str
    images: int
    kept: tuple[str, ...]
    """Names of the images that are used, in the order of the pixels."""
    classes: dict[str, int]
    parts: dict[str, int]
    twins: Pairs
    """Pairs of kept images that are nearly the same picture; as `load_images` gives it also those
    of one part by a picture that is left out."""
    sizes: tuple[tuple[int, int, int], ...] = ()
    """Width, height, and how many of the used images have it; the most frequent first. Empty in
    what an older program scanned."""
    findings: tuple[Finding, ...]

    def lines(self) -> list[str]:
        """The report for a person."""
        counts = ", ".join(
            f"{label} {n} ({self.parts[label]} parts)" for label, n in self.classes.items()
        )
        lines = [self.layout, f"{self.images} images, {len(self.kept)} used: {counts}"]
        if self.sizes:
            sizes = [f"{width}x{height} ({n})" for width, height, n in self.sizes[:3]]
            more = f" and {len(self.sizes) - 3} more" if len(self.sizes) > 3 else ""
            lines.append(f"pixels: {', '.join(sizes)}{more}")
        for kind, n in sorted(Counter(f.kind for f in self.findings).items()):
            shown = [f for f in self.findings if f.kind == kind][:SHOWN]
            lines.append(f"{kind}: {n}")
            lines += [f"  {f.image} {f.other} {f.what}".rstrip() for f in shown]
            if n > len(shown):
                lines.append(f"  and {n - len(shown)} more; {LISTS} lists all")
        return lines


@dataclass(frozen=True, slots=True)
class Images:
    """The images that are used, with their pixels at the model's size."""

    samples: tuple[Sample, ...]
    pixels: NDArray[np.uint8]
    """images x height x width x 3, BGR: as `fit` gives them to the station's model."""
    report: ScanReport
    looks: Looks = NO_LOOKS
    """Of each picture that is used, in the order of `report.kept`; whatever its rows are."""
    ties: Pairs = ()
    """Those of the report's twins that only a picture which is not used makes one part."""


def scan(
    dataset: Dataset,
    spec: ImageSpec,
    near_at: float,
    folder: Path,
    progress: Callable[[Iterable[Sample], int], Iterable[Sample]],
) -> None:
    """Read every image once; leave scan.json, pixels.npy and looks.npz in the folder.

    Raises InspectorError where the disk has no room for the pixels.
    """
    samples = dataset.samples
    shape = (len(samples), spec.height, spec.width, 3)
    pixels = blank(folder / "pixels.npy", np.uint8, shape)
    findings: list[Finding] = []
    digests: dict[str, list[int]] = defaultdict(list)
    sizes: dict[int, tuple[int, int]] = {}
    looks: dict[int, Look] = {}
    for i, sample in enumerate(progress(samples, len(samples))):
        try:
            picture = decode(sample.image.read_bytes())
        except (OSError, ValueError) as error:
            what = error.strerror or "" if isinstance(error, OSError) else str(error)
            findings.append(Finding(kind="unreadable", image=sample.name, what=what, excluded=True))
            continue
        high, wide = picture.shape[:2]
        sizes[i] = wide, high
        if min(wide, high) < TINY_SIDE:
            findings.append(Finding(kind="tiny", image=sample.name, what=f"{wide}x{high}"))
        looks[i] = look(picture)
        digests[looks[i].digest].append(i)
        pixels[i] = fit(picture, spec)
    kept = sorted(i for same in digests.values() for i in _used(samples, same, findings))
    for row, i in enumerate(kept):  # row <= i: nothing is overwritten before it was moved
        pixels[row] = pixels[i]
    pixels.flush()
    seen = Looks.of([looks[i] for i in kept])
    seen.save(folder / LOOKS)
    twins = near_twins(seen.faces(), near_at)
    used = [samples[i] for i in kept]
    findings += [_near(used[i], used[j]) for i, j in twins if used[i].label != used[j].label]
    report = ScanReport(
        layout=dataset.layout,
        images=len(samples),
        kept=tuple(sample.name for sample in used),
        classes=dict(sorted(Counter(s.label for s in used).items())),
        parts=dict(
            sorted(Counter(label for label, _ in {(s.label, s.part) for s in used}).items())
        ),
        twins=tuple(twins),
        sizes=tuple((*size, n) for size, n in Counter(sizes[i] for i in kept).most_common()),
        findings=tuple(findings),
    )
    write_whole(folder / "scan.json", report.model_dump_json(indent=1).encode())


def _used(samples: tuple[Sample, ...], same: list[int], findings: list[Finding]) -> list[int]:
    """Of samples with the very same pixels, the first; none where their labels differ."""
    agreed = len({samples[i].label for i in same}) == 1
    for i in same[1:] if agreed else same:
        other = samples[same[0] if i != same[0] else same[1]]
        kind = "same picture twice" if agreed else "same picture, two labels"
        what = "" if agreed else f"({samples[i].label} and {other.label})"
        findings.append(
            Finding(kind=kind, image=samples[i].name, other=other.name, what=what, excluded=True)
        )
    return same[:1] if agreed else []


def load_images(dataset: Dataset, folder: Path) -> Images:
    """What `scan` left, with the samples it kept. Raises DataError where a picture is gone."""
    report = ScanReport.model_validate_json((folder / "scan.json").read_text(encoding="utf-8"))
    by_name = {sample.name: sample for sample in dataset.samples}
    pixels = np.load(folder / "pixels.npy", mmap_mode="r")[: len(report.kept)]
    samples = tuple(by_name[name] for name in report.kept)
    ties = _ties(dataset, report)
    report = report.model_copy(update={"twins": (*report.twins, *ties)})
    if not (folder / LOOKS).exists():  # scanned by an older program
        draft = folder / f"{LOOKS}.{os.getpid()}.part"  # of several processes each may find that
        Looks.of([_look_again(sample.image) for sample in samples]).save(folder / LOOKS, draft)
    return Images(samples, pixels, report, Looks.load(folder / LOOKS), ties)


def _ties(dataset: Dataset, report: ScanReport) -> Pairs:
    """Kept images of two part ids under which one and the same picture stands: what is left out of
    them must not take with it that they are one part.
    """
    place = {sample.name: i for i, sample in enumerate(dataset.samples)}
    same = [(place[f.image], place[f.other]) for f in report.findings if f.excluded and f.other]
    if not same:
        return ()
    row = {name: k for k, name in enumerate(report.kept)}
    pairs: list[tuple[int, int]] = []
    for members in groups_of(dataset.samples, tuple(same)).values():
        kept = [dataset.samples[i] for i in members if dataset.samples[i].name in row]
        parts = list({sample.part: row[sample.name] for sample in kept}.values())
        pairs += [(parts[0], other) for other in parts[1:]]
    return tuple(pairs)


def _look_again(path: Path) -> Look:
    try:
        return look(decode(path.read_bytes()))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None


def _near(sample: Sample, twin: Sample) -> Finding:
    what = f"({sample.label} beside {twin.label})"
    return Finding(
        kind="nearly the same, labelled differently", image=sample.name, other=twin.name, what=what
    )
