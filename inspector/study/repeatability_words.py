"""A repeatability in words: the verdict, and what keeps it from saying more."""

from collections.abc import Iterator

from inspector.study.repeatability import BANDS, KAPPA_GOOD, Repeatability

PARTS_ADVISED, PRESENTATIONS_ADVISED = 50, 3
"""By AIAG."""
FAR_SIGMAS = 10.0
END = 1e-4


def sentences(found: Repeatability) -> Iterator[str]:
    """The verdict in words, a figure each."""
    for each in found.judgements:
        rate, (first, _) = each.rate, BANDS[each.name]
        limit = f"{'at least' if each.name == 'effectiveness' else 'at most'} {100 * first:g} %"
        if rate.rate is None:
            yield f"{each.name}: no part to know it by"
            continue
        said = f"{each.name} {100 * rate.rate:.1f} % ({rate.events}/{rate.n}): {each.band}"
        bound = each.by_part or rate
        limits = f"{100 * bound.low:.1f} to {100 * bound.high:.1f} %"
        of = f"by part {bound.events}/{bound.n}, {limits}" if each.by_part else limits
        yield f"{said} (AIAG: {limit}); {of} ({100 * bound.confidence:g} %)"
    kappa = found.kappa_reference
    if kappa.kappa is not None:
        limits = "" if kappa.low is None else f" ({kappa.low:.2f} to {kappa.high:.2f})"
        yield f"kappa against the reference {kappa.kappa:.2f}{limits}; AIAG: above {KAPPA_GOOD:g}"


def remarks(found: Repeatability) -> Iterator[str]:
    """What keeps these figures from saying more."""
    parts = found.parts
    bad = [part for part in parts if not part.good]
    if found.presentations < found.wanted:
        yield f"only {found.presentations} of {found.wanted} presentations were made"
    least = min(len(part.presentations) for part in parts)
    if len(parts) < PARTS_ADVISED or least < PRESENTATIONS_ADVISED:
        yield (
            f"{len(parts)} parts, the fewest presentations of one {least}: AIAG advises at least "
            f"{PARTS_ADVISED} parts and {PRESENTATIONS_ADVISED} presentations"
        )
    decisions = sum(len(part.presentations) for part in bad)
    if 0 < decisions < 1 / BANDS["miss rate"][0]:
        yield (
            f"with {decisions} decisions on defective parts a single miss would be "
            f"{100 / decisions:.0f} %: a miss rate of 2 % can be seen from 50 on"
        )
    near = [part for part in parts if part.doubt]
    if not near and all(part.sigmas_to_review is None or abs(part.sigmas_to_review) > FAR_SIGMAS
                        for part in parts):  # fmt: skip
        yield (
            "no part is near a limit: AIAG asks for parts in the grey zone too, where an "
            "inspection shows what it is worth"
        )
    # at either end of the range a score has no room to scatter
    still = sum(part.sd == 0.0 and END < (part.mean or 0.0) < 1 - END for part in parts)
    if still:
        yield f"the scores of {still} parts did not scatter at all: were they taken out between?"
    if found.undefined.events:
        causes = ", ".join(f"{cause} {n}" for cause, n in found.undefined_causes.items())
        yield (
            f"{found.undefined.events} of {found.undefined.n} presentations could not be judged "
            f"({causes}): they count as not passed"
        )
