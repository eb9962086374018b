"""A plant with what an engineer needs: two bundles with reports, one of them the shadow."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from inspector.contract.bundle import Bundle
from inspector.contract.verdict import Limits
from tests.brokers import Mosquitto
from tests.hmi.plant import Plant, make_plant
from tests.support import make_bundle
from training.limits import trade_off

REVIEW_AT, CONFIDENCE = 0.3, 0.95
DEFECTS = np.sort(np.random.default_rng(1).beta(5.0, 1.5, 96))
GOOD = np.sort(np.random.default_rng(2).beta(1.2, 6.0, 185))
# what a bundle ships is somebody else's: nothing of it may run, load or leave its frame
REPORT = """<!doctype html><html lang="en"><head><title>report</title></head><body>
<h1>A report</h1><script>document.body.textContent = "it ran"</script>
<img alt="elsewhere" src="http://198.51.100.7/x.png"><img alt="" src="/api/system">
<img alt="mine" src="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg'
width='1' height='1'/%3E">
</body></html>"""


def rate(events: int, n: int) -> dict[str, Any]:
    return {"events": events, "n": n, "rate": events / n, "at_most": 0.2, "confidence": CONFIDENCE}


def write_report(draft: Path) -> None:
    """As training writes it, as far as the pages read it; the curve by training's own code."""
    curve = trade_off(DEFECTS, GOOD, REVIEW_AT, CONFIDENCE)
    row = {
        "role": "student",
        "choice": {
            "goals": [{"name": "all defects", "escape": rate(2, len(DEFECTS))}],
            "overkill": rate(20, len(GOOD)),
            "chosen_on": "calibration",
            "curve": [point.model_dump() for point in curve],
        },
        "golden": {"escape": rate(3, 90), "overkill": rate(9, 180), "review": rate(30, 270)},
    }
    report = {"shipped": "student", "models": [{"role": "teacher"}, row]}
    (draft / "report.json").write_text(json.dumps(report), encoding="utf-8")
    (draft / "report.html").write_text(REPORT, encoding="utf-8")


def make_workshop(folder: Path, broker: Mosquitto) -> tuple[Plant, Bundle, Bundle]:
    """The plant, the bundle that serves, and the shadow's: it takes no part for sure bad."""
    bundles = folder / "bundles"
    serving = make_bundle(bundles, spoil=write_report)
    other = make_bundle(bundles, limits=Limits(review_at=0.2, reject_at=1.0), spoil=write_report)
    shadow = {"bundle": other.id, "folder": "shadow"}
    return make_plant(folder, broker, bundle=serving, shadow=shadow), serving, other
