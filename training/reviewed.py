"""What people said of parts, from one or many stations or from copies of their folders."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from inspector.contract.errors import ConfigError
from inspector.contract.image import Region
from inspector.contract.review import Box, Kept, Label, Review, Standing, standing_of
from inspector.delivery.reviews import FILE, picture_at, read_reviews


@dataclass(frozen=True, slots=True)
class Reviewed:
    """A part as one station saw it, and what people made of it."""

    reviews: tuple[Review, ...]
    """Those taken back left out: it may have none left."""
    facts: Review
    """Any of its reviews: what is known of the part is the same in all."""
    picture: Path
    standing: Standing
    label: Label | None

    @property
    def key(self) -> tuple[str, str]:
        return self.facts.station, self.facts.result_id

    @property
    def name(self) -> str:
        return "/".join(self.key)

    @property
    def part(self) -> str:
        """The line's id of it as a manifest gives it back: without the spaces around it, or a part
        is another one in the next version. Where the line has none, its name.
        """
        return (self.facts.part or "").strip() or self.name

    @property
    def severity(self) -> float | None:
        """The mean of those who rated it, to four digits: a version's file says it as exactly.

        Who cannot tell what it is has no vote, as on the label.
        """
        said = (each for each in self.reviews if each.label is not None)
        rated = [each.severity for each in said if each.severity is not None]
        return round(sum(rated) / len(rated), 4) if rated else None

    @property
    def area(self) -> Box | None:
        """Around all that was judged of the picture; None where that is not known."""
        judged = self.facts.judged()
        if not judged:
            return None
        left, top = min(box[0] for box in judged), min(box[1] for box in judged)
        right = max(box[0] + box[2] for box in judged)
        return left, top, right - left, max(box[1] + box[3] for box in judged) - top

    def picture_bytes(self) -> bytes | None:
        """As the people saw it; None where it is gone, or is another one now."""
        return _bytes_of(self.picture, self.facts.image_sha256)


def region_of(box: Box) -> Region:
    """As `cut` takes it."""
    x, y, width, height = box
    return Region(name="judged", x=x, y=y, width=width, height=height)


def store_of(source: Path) -> Path:
    """The review store of a station's settings, or of a folder that was copied from one.

    Raises ConfigError where there is none.
    """
    path = source
    if source.suffix == ".toml":
        # only here: it loads every device's library
        from inspector.settings import read_settings, reviews_path

        path = reviews_path(read_settings(source))
    elif source.is_dir():
        path = source / FILE
    if not path.is_file():
        raise ConfigError(f"{source}: there is no {path}; `inspector review` makes it")
    return path


def read_reviewed(sources: Iterable[Path]) -> list[Reviewed]:
    """Every part that was ever reviewed, in order of station and row.

    A store that is named twice, or beside its copy, counts once. Raises ConfigError, RecordError.
    """
    found: dict[tuple[str, str], dict[tuple[str, str], Kept]] = {}
    stores: dict[tuple[str, str], list[Path]] = {}
    for store in map(store_of, sources):
        for kept in read_reviews(store):
            review = kept.review
            key, said = (review.station, review.result_id), (review.by, review.at.isoformat())
            before = found.setdefault(key, {}).get(said)
            if before is None or kept.undone is not None:  # a newer copy knows more
                found[key][said] = kept
            stores.setdefault(key, []).append(store)
    parts = [_reviewed(list(all_.values()), stores[key]) for key, all_ in found.items()]
    return sorted(parts, key=lambda each: (each.facts.station, each.facts.seq, each.key))


def _reviewed(all_: list[Kept], stores: list[Path]) -> Reviewed:
    stands = tuple(each.review for each in all_ if each.undone is None)
    facts = (*stands, all_[0].review)[0]
    return Reviewed(stands, facts, _picture(stores, facts.image_sha256), *standing_of(stands))


def _picture(stores: list[Path], sha256: str) -> Path:
    """Where it lies; of several, the first that is whole: a copy may have been cut short."""
    paths = list(dict.fromkeys(picture_at(store, sha256) for store in stores))
    there = [path for path in paths if path.is_file()] or paths
    if len(there) == 1:
        return there[0]
    return next((path for path in there if _bytes_of(path, sha256) is not None), there[0])


def _bytes_of(path: Path, sha256: str) -> bytes | None:
    """None where it is gone, or is another one now."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    return data if hashlib.sha256(data).hexdigest() == sha256 else None
