"""A study as one HTML page: nothing is fetched when it is read, and A4 when it is printed."""

import base64
import html
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import cv2

from inspector.contract.image import Image
from inspector.study.conditions import Conditions
from inspector.study.stats import Rate

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_STYLE = """
@page{size:A4;margin:14mm 13mm 16mm;
@bottom-left{content:"TITLE";font:8pt sans-serif;color:#555}
@bottom-right{content:counter(page) " / " counter(pages);font:8pt sans-serif;color:#555}}
*{box-sizing:border-box}
body{font:10pt/1.4 system-ui,"DejaVu Sans",sans-serif;color:#1c1c1c;max-width:184mm;
margin:8mm auto;padding:0 4mm}
h1{font-size:17pt;margin:0 0 1mm}h2{font-size:12pt;margin:7mm 0 1.5mm;break-after:avoid}
p{margin:1.5mm 0}.sub{color:#444;margin-bottom:4mm}.note{color:#444;font-size:8.5pt}
table{border-collapse:collapse;width:100%;margin:2mm 0;font-size:8.5pt}
td,th{padding:.9mm 1.2mm;text-align:right;vertical-align:top;border-bottom:.2mm solid #ddd}
th{border-bottom:.3mm solid #666;font-weight:600;vertical-align:bottom}
td{white-space:nowrap}td:first-child,th:first-child{text-align:left}
td:first-child,td.words{white-space:normal;overflow-wrap:break-word}td.words,th.words{text-align:left}
thead{display:table-header-group}tr{break-inside:avoid}
table.facts td{text-align:left;white-space:normal;overflow-wrap:anywhere}
table.facts td:first-child{width:38mm;color:#444}
.verdict{border:.5mm solid;border-left-width:3mm;padding:2.5mm 4mm;margin:3mm 0 4mm}
.verdict b{font-size:14pt;display:block}
.good{border-color:#2e6b4f}.bad{border-color:#a3301f}.open{border-color:#9a6a00}
.flag{font-weight:700}.flag.bad{color:#a3301f}.flag.open{color:#805800}.flag.good{color:#2e6b4f}
.caveats{border-left:1mm solid #9a6a00;padding:1mm 3mm;margin:3mm 0}
.caveats ul{margin:1mm 0;padding-left:5mm}
figure{display:inline-block;width:42mm;margin:0 2mm 3mm 0;vertical-align:top;break-inside:avoid}
figure img{width:100%;border:.2mm solid #bbb}figcaption{font-size:7.5pt;overflow-wrap:anywhere}
svg{width:100%;height:auto;display:block}svg text{font:9px sans-serif;fill:#1c1c1c}
.sign{display:grid;grid-template-columns:1fr 1fr 1fr;gap:8mm;margin-top:14mm;break-inside:avoid}
.sign div{border-top:.3mm solid #333;padding-top:1mm;font-size:8.5pt}
@media print{body{margin:0;padding:0;max-width:none}}
"""


class Picture(NamedTuple):
    image: Image | None
    """None where none was kept."""
    caption: str


def page(title: str, sub: str, body: Iterable[str]) -> str:
    """The whole document. body: HTML, escaped by who made it; title and sub: text."""
    style = _STYLE.replace("TITLE", e(title).replace('"', "").replace("\\", ""))
    head = (
        f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<title>{e(title)}</title><style>{style}</style>"
    )
    inside = f'<h1>{e(title)}</h1><p class="sub">{e(sub)}</p>{"".join(body)}'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{inside}</body></html>\n'


def e(text: object) -> str:
    """Text as it may stand in HTML."""
    return html.escape(str(text), quote=True)


def verdict_box(tone: str, verdict: str, sentences: Sequence[str]) -> str:
    """tone: good, bad or open."""
    lines = "".join(f"<p>{e(each)}</p>" for each in sentences)
    return f'<div class="verdict {tone}"><b>{e(verdict)}</b>{lines}</div>'


def flag(tone: str, word: str) -> str:
    """HTML of a short judgement."""
    return f'<span class="flag {tone}">{e(word)}</span>'


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], words: Sequence[int] = ()) -> str:
    """heads: text; cells: HTML. words: the columns that are read from the left."""

    def cell(kind: str, i: int, inside: str) -> str:
        left = ' class="words"' if i in words else ""
        return f"<{kind}{left}>{inside}</{kind}>"

    top = "".join(cell("th", i, e(head)) for i, head in enumerate(heads))
    body = "".join(
        f"<tr>{''.join(cell('td', i, inside) for i, inside in enumerate(row))}</tr>" for row in rows
    )
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """Name and value, both text."""
    body = "".join(f"<tr><td>{e(name)}</td><td>{e(value)}</td></tr>" for name, value in rows)
    return f'<table class="facts"><tbody>{body}</tbody></table>'


def caveats(lines: Sequence[str]) -> str:
    if not lines:
        return ""
    inside = "".join(f"<li>{e(line)}</li>" for line in lines)
    return f'<div class="caveats"><b>To be read with this study</b><ul>{inside}</ul></div>'


def gallery(pictures: Iterable[Picture]) -> str:
    """Each with its caption; in words where the picture was not kept."""
    figures = []
    for picture in pictures:
        shown = "<p>no picture was kept</p>"
        if picture.image is not None:
            shown = f'<img alt="{e(picture.caption)}" src="{_data_url(picture.image)}">'
        figures.append(f"<figure>{shown}<figcaption>{e(picture.caption)}</figcaption></figure>")
    return "".join(figures)


def signatures(*lines: str) -> str:
    """Who signs what, under a line to write on."""
    return f'<div class="sign">{"".join(f"<div>{e(line)}</div>" for line in lines)}</div>'


def percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f} %"


def rate_cells(rate: Rate) -> tuple[str, str, str]:
    """events / n, the rate, its two-sided limits."""
    limits = "-" if rate.rate is None else f"{percent(rate.low)} to {percent(rate.high)}"
    return f"{rate.events}/{rate.n}", percent(rate.rate), limits


def conditions(found: Conditions) -> str:
    """Everything a reader needs to repeat it."""
    limits = found.limits
    novelty = "" if limits.novelty_at is None else f", novelty_at {limits.novelty_at:g}"
    said = f"review_at {limits.review_at:g}, reject_at {limits.reject_at:g}{novelty}"
    machine = found.machine
    rows = [
        ("Made by", f"{found.by}, {found.begun_at} to {found.ended_at}"),
        ("Station", f"{found.station} ({found.topic_root})"),
        ("Pictures and results", found.source),
        ("Recipe", found.recipe),
        ("Limits", said),
        ("Bundle", f"{found.bundle.id}, {found.bundle.architecture} {found.bundle.precision}"),
        ("Bundle's SHA-256", found.bundle.sha256),
        ("Bundle's certificate", found.bundle.certificate),
        *([("Licence notice", found.bundle.notice)] if found.bundle.notice else []),
        ("Camera", _keys(found.camera)),
        ("Trigger", _keys(found.trigger)),
        *((f"SHA-256 of {each.path.rpartition('/')[2]}", each.sha256) for each in found.files),
        ("Machine", f"{machine.host}: {machine.processor}, {machine.cores} cores"),
        ("System", machine.system),
        ("Software", ", ".join(f"{k} {v}" for k, v in machine.software.items())),
    ]
    return "<h2>Conditions of the test</h2>" + facts(rows)


def _keys(values: dict[str, object]) -> str:
    return ", ".join(f"{key} = {value}" for key, value in values.items() if value is not None)


def _data_url(image: Image) -> str:
    height, width = image.shape[:2]
    scale = min(1.0, 360 / max(height, width))
    if scale < 1.0:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 85])
    if not done:
        raise OSError("a picture cannot be encoded")
    return f"data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode()}"
