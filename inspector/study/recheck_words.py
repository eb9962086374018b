"""A recheck in words: what was found, and of how much nothing is known."""

from collections.abc import Iterator

from inspector.study.recheck import Recheck

NEAR = 0.05


def sentences(found: Recheck) -> Iterator[str]:
    yield (
        f"{found.passes} parts passed since {found.plan.since}; {found.rechecked} were judged "
        f"again by {found.plan.judge}, {found.passes - found.rechecked} could not be"
    )
    for why, count in found.not_rechecked.items():
        yield f"not rechecked: {count}, {why}"
    if found.gone_before is not None:
        yield (
            f"the journal begins at {found.gone_before}: parts that passed before that are gone "
            "from it, and nobody knows how many they were"
        )


def remarks(found: Recheck) -> Iterator[str]:
    """What keeps it from saying more."""
    if found.passes > found.rechecked:
        yield (
            f"of {found.passes - found.rechecked} parts that passed this study knows nothing; "
            'archive.keep = "all" keeps the pictures of passes from then on'
        )
    if found.control is None:
        yield (
            "the bundle that passed the parts is not among the station's bundles, so what the "
            "archive's JPEG does to a score was not tried"
        )
    else:
        yield (
            f"{found.control.pictures} archived pictures were judged by the bundle that had passed "
            f"them: scores differ by at most {found.control.largest_difference:.4f} "
            f"(JPEG), {found.control.turned} would not pass again"
        )
    limit = found.conditions.limits.review_at
    near = sum(0.0 <= (each.again or 0.0) - limit < NEAR for each in found.suspects)
    if near:
        yield f"{near} of the suspects are less than {NEAR:g} above the limit of {limit:.3g}"
