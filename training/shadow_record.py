"""What the line has shown of a candidate that judged beside the incumbent, without a say."""

from collections.abc import Sequence
from pathlib import Path

from inspector.contract.bundle import Bundle
from inspector.contract.errors import ConfigError
from inspector.contract.shadow import Opinion, ShadowTally
from inspector.delivery.disagreements import read_disagreements, read_tallies
from inspector.delivery.kept import SUFFIX
from training.promotion import Disagreed, Says, Shadowed
from training.reviewed import Reviewed


def shadow_record(
    sources: Sequence[Path],
    pair: tuple[Bundle, Bundle],
    reviewed: Sequence[Reviewed],
    good: tuple[str, ...],
) -> Shadowed:
    """What stations saw of the candidate, the first of the pair, as the shadow of the second.

    sources: stations' settings, or folders of shadows; what stands in two of them, a copy for
    instance, counts once. Raises ConfigError, RecordError.
    """
    candidate, incumbent = (bundle.id for bundle in pair)
    labels = {part.key: part.label for part in reviewed}
    tallies: dict[tuple[str, str], ShadowTally] = {}
    disagreed: dict[tuple[str, str], Disagreed] = {}
    listed: dict[tuple[str, str], set[str]] = {}
    for folder in map(shadow_folder, sources):
        for tally in read_tallies(folder):
            if (tally.serving, tally.shadow) != (incumbent, candidate):
                continue
            key = tally.station, tally.boot
            before = tallies.get(key)
            if before is None or tally.judged > before.judged:
                tallies[key] = tally
        for message in read_disagreements(folder):
            if (message.serving.bundle, message.shadow.bundle) != (incumbent, candidate):
                continue
            listed.setdefault((message.station, message.boot), set()).add(message.result_id)
            part = message.station, message.result_id
            label = labels.get(part)
            disagreed[part] = Disagreed(
                station=message.station,
                result_id=message.result_id,
                picture=str(folder / f"{message.image}{SUFFIX}"),
                label=label,
                is_defect=None if label is None else label not in good,
                incumbent=_says(message.serving),
                candidate=_says(message.shadow),
            )
    # each start by itself: one that was killed before it counted lists more than it has counted
    lost = (max(0, each.disagreements - len(listed.get(key, ()))) for key, each in tallies.items())
    return Shadowed(
        judged=sum(each.judged for each in tallies.values()),
        disagreed=tuple(disagreed.values()),
        lost=sum(lost),  # the list rotates, the count does not
    )


def shadow_folder(source: Path) -> Path:
    """Of a station's settings, or the folder itself. Raises ConfigError where there is none."""
    if source.suffix != ".toml":
        if not source.is_dir():
            raise ConfigError(f"--shadow {source}: there is no such folder")
        return source
    # only here: it loads every device's library
    from inspector.settings import read_settings

    shadow = read_settings(source).shadow
    if shadow is None:
        raise ConfigError(f"--shadow {source}: has no [shadow]; name the shadow's folder")
    return shadow.folder


def _says(opinion: Opinion) -> Says:
    return Says(evaluation=opinion.evaluation, label=opinion.label, score=opinion.score)
