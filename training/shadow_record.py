"""What the line has shown of a candidate that judged beside the incumbent, without a say."""

from collections.abc import Sequence
from pathlib import Path

from inspector.contract.bundle import Bundle
from inspector.contract.errors import ConfigError
from inspector.contract.shadow import Opinion
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

    sources: stations' settings, or folders of shadows. Raises ConfigError, RecordError.
    """
    candidate, incumbent = (bundle.id for bundle in pair)
    labels = {part.key: part.label for part in reviewed}
    judged, lost = 0, 0
    disagreed: list[Disagreed] = []
    for folder in map(shadow_folder, sources):
        tallies = [
            t for t in read_tallies(folder) if (t.serving, t.shadow) == (incumbent, candidate)
        ]
        judged += sum(each.judged for each in tallies)
        before = len(disagreed)
        for message in read_disagreements(folder):
            if (message.serving.bundle, message.shadow.bundle) != (incumbent, candidate):
                continue
            label = labels.get((message.station, message.result_id))
            disagreed.append(
                Disagreed(
                    station=message.station,
                    result_id=message.result_id,
                    picture=str(folder / f"{message.image}{SUFFIX}"),
                    label=label,
                    is_defect=None if label is None else label not in good,
                    incumbent=_says(message.serving),
                    candidate=_says(message.shadow),
                )
            )
        counted = sum(each.disagreements for each in tallies)
        lost += max(0, counted - (len(disagreed) - before))  # the list rotates, the count does not
    return Shadowed(judged=judged, disagreed=tuple(disagreed), lost=lost)


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
