"""Rows of a version, of parts that people reviewed."""

import cv2

from inspector.contract.image import Image, cut, decode, whole
from training.dataset import Sample
from training.reviewed import Reviewed, region_of
from training.versions import LeftOut, Row

_UNDECIDED = {"conflict": "reviewers do not agree", "unclear": "nobody could tell"}


def rows_of(
    reviewed: list[Reviewed], left_out: list[LeftOut], *, tiles: bool
) -> tuple[list[Row], list[Row]]:
    """Rows of the parts that people agree on and whose picture is there; and those, of no class,
    that say no more than what part such a picture is of.

    tiles: the line's model judges tiles. What is no row of the first kind is listed.
    """
    rows: list[Row] = []
    undecided: list[Row] = []
    for part in reviewed:
        if part.standing == "open":  # all taken back: as if nobody had spoken
            continue
        what = ", ".join(f"{each.by}: {each.label or 'unclear'}" for each in part.reviews)
        data, row, why = part.picture_bytes(), None, _UNDECIDED.get(part.standing)
        if data is None:
            why, what = why or "its picture is gone or another", what if why else ""
        else:
            try:
                row = _row_of(part, part.label or "", data)
            except ValueError as error:
                why, what = why or "its picture is unreadable", what if why else str(error)
        if why is None and part.facts.regions > 1 and not tiles:  # the whole is at another scale
            why = "judged in several regions"
            what = f"{part.facts.regions} regions were judged apart; which one is {part.label}?"
        if why is not None:
            left_out.append(LeftOut(why=why, part=part.name, what=what))
        if row is not None:
            (rows if why is None else undecided).append(row)
    return rows, undecided


def _row_of(part: Reviewed, label: str, data: bytes) -> Row:
    """The part of the picture that the model saw. Raises ValueError where it is none."""
    facts, suffix = part.facts, ".jpg"
    image = decode(data)
    if part.area is not None:
        region = region_of(part.area)
        if region.model_copy(update={"name": "whole"}) != whole(image):
            data, suffix = _png(cut(image, region)), ".png"
    sample = Sample(
        image=part.picture,
        name=f"{facts.station}/{facts.result_id}{suffix}",
        label=label,
        part=part.part,
        severity=part.severity,
    )
    return Row(sample, origin_of(part), data)


def origin_of(part: Reviewed) -> dict[str, str]:
    """Which part it was, what judged it and who said what it is, by ORIGIN_COLUMNS."""
    facts = part.facts
    score = "" if facts.score is None else f"{facts.score:g}"
    return {
        "station": facts.station,
        "result_id": facts.result_id,
        "boot": facts.boot,
        "seq": str(facts.seq),
        "part_id": facts.part or "",
        "captured_at": facts.captured_at.isoformat() if facts.captured_at else "",
        "bundle": facts.bundle,
        "evaluation": facts.evaluation,
        "score": score,
        "reviewers": ";".join(each.by for each in part.reviews),
        "reviewed_at": max(each.at for each in part.reviews).isoformat(),
        "image_sha256": facts.image_sha256,
    }


def _png(image: Image) -> bytes:
    return cv2.imencode(".png", image)[1].tobytes()
