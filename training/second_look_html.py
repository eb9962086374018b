"""second_look.html: the pictures whose labels are doubtful, to be looked at."""

import base64
import html
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

import cv2

from inspector.contract.image import decode
from training.dataset import Sample
from training.second_look import Doubt

SHOWN = 120
"""Pictures on the page; the table has all."""
SIDE_PX = 260
QUALITY = 82

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
        body.append(f"<section><h2>{_e(heading)}</h2>{figures}</section>")
    head = f'<meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
    page = f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(body)}</body></html>'
    return page.encode()


def _figure(doubt: Doubt, path: Path) -> str:
    words = (
        f"{doubt.picture}: {doubt.label} {100 * doubt.probability_of_label:.0f} %, "
        f"{doubt.looks_like} {100 * doubt.probability:.0f} %, by {doubt.said_by} of {doubt.of}"
    )
    return f"<figure>{_thumbnail(path)}<figcaption>{_e(words)}</figcaption></figure>"


def _thumbnail(path: Path) -> str:
    try:
        image = decode(path.read_bytes())
    except (OSError, ValueError) as error:
        return f"<p>{_e(f'cannot be read any more: {error}')}</p>"
    height, width = image.shape[:2]
    scale = min(1.0, SIDE_PX / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    _, jpeg = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    data = base64.b64encode(jpeg.tobytes()).decode()
    return f'<img alt="" width="{size[0]}" src="data:image/jpeg;base64,{data}">'


def _e(text: str) -> str:
    return html.escape(str(text), quote=True)
