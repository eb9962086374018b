"""What the pages of training are made of. Each is one file; nothing is fetched when it is read."""

import base64
import html
from collections.abc import Sequence
from pathlib import Path

import cv2

from inspector.contract.image import decode


def plain(text: object) -> str:
    """As text or inside an attribute."""
    return html.escape(str(text), quote=True)


def document(title: str, style: str, body: Sequence[str]) -> str:
    """title: as text; style: CSS; body: HTML."""
    head = f'<meta charset="utf-8"><title>{plain(title)}</title><style>{style}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(body)}</body></html>'


def png_image(png: bytes, alt: str) -> str:
    data = base64.b64encode(png).decode()
    return f'<img alt="{plain(alt)}" src="data:image/png;base64,{data}">'


def photograph(path: Path, side: int, alt: str, *, enlarge: bool) -> str:
    """A picture whose longer side is `side` pixels; a smaller one as it is, unless enlarged.

    Raises OSError or ValueError where it cannot be read.
    """
    image = decode(path.read_bytes())
    height, width = image.shape[:2]
    scale = side / max(height, width)
    if not enlarge:
        scale = min(1.0, scale)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    done, jpeg = cv2.imencode(".jpg", small)
    if not done:
        raise ValueError(f"{path}: could not be encoded")
    data = base64.b64encode(jpeg.tobytes()).decode()
    return f'<img alt="{plain(alt)}" src="data:image/jpeg;base64,{data}">'
