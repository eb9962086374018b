"""second_look.html: the pictures whose labels are doubtful, to be looked at."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

from training.dataset import Sample
from training.page import document, photograph, plain
from training.second_look import Doubt

SHOWN = 120
"""Pictures on the page; the table has all."""
SIDE_PX = 260

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#222;max-width:1280px;margin:2rem auto;padding:0 1rem}
section{border-top:1px solid #ddd;padding:.6rem 0}h2{font-size:14px;font-weight:600;margin:.2rem 0}
figure{display:inline-block;margin:.3rem .6rem .3rem 0;vertical-align:top}img{display:block}
figcaption{font-size:12px;color:#444;max-width:260px;overflow-wrap:anywhere}
"""


def page_of(doubts: Sequence[Doubt], samples: Mapping[str, Sample], judged: int) -> bytes:
    """judged: pictures that were asked about. One file; nothing is fetched when it is read."""
    title = "Labels worth a second look"
    body = [
        f"<h1>{title}</h1>",
        f"<p>{len(doubts)} of {judged} pictures look like another class than their label says to "
        "models that never learned from them, the most doubtful part first"
        + (f"; the first {SHOWN} are shown, second_look.csv has all" if len(doubts) > SHOWN else "")
        + ". It is the models that may be wrong. Where the label is: correct it in the data, or "
        "take the picture out, and compare again.</p>",
    ]
    for _, part in groupby(doubts[:SHOWN], key=lambda doubt: doubt.part):
        pictures = list(part)
        called = ", ".join(sorted({doubt.label for doubt in pictures}))
        looks = ", ".join(sorted({doubt.looks_like for doubt in pictures}))
        heading = f"called {called}, looks like {looks}"
        figures = "".join(_figure(doubt, samples[doubt.picture].image) for doubt in pictures)
        body.append(f"<section><h2>{plain(heading)}</h2>{figures}</section>")
    return document(title, _STYLE, body).encode()


def _figure(doubt: Doubt, path: Path) -> str:
    words = (
        f"{doubt.picture}: {doubt.label} {100 * doubt.probability_of_label:.0f} %, "
        f"{doubt.looks_like} {100 * doubt.probability:.0f} %, by {doubt.said_by} of {doubt.of}"
    )
    return f"<figure>{_thumbnail(path)}<figcaption>{plain(words)}</figcaption></figure>"


def _thumbnail(path: Path) -> str:
    try:
        return photograph(path, SIDE_PX, "", enlarge=False)
    except (OSError, ValueError) as error:
        return f"<p>{plain(f'cannot be read any more: {error}')}</p>"
