"""The bundles' folder as the pages read it, beside the station: each bundle by its name alone.

What is in a bundle is somebody else's: its manifest is read strictly, its report leniently, and its
files only where the manifest or this module name them.
"""

import hashlib
import json
import math
import re
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from inspector.contract.bundle import MANIFEST, SUMS, Manifest
from inspector.contract.errors import ConfigError
from inspector.contract.inside import read_inside
from inspector.contract.outputs import acceptable, expected_of, golden_parts, scored
from inspector.contract.strict import Name
from inspector.contract.verdict import Limits

BUNDLES_MAX = 200
MANIFEST_BYTES_MAX = 4_000_000
REPORT_BYTES_MAX = 32_000_000
POINTS_MAX = 1_000
NUMBER_MAX = 2**53
REPORT, FIGURES = "report.html", "report.json"
_NAME: TypeAdapter[str] = TypeAdapter(Name)
_GOLDEN = re.compile(r"golden/[A-Za-z0-9][A-Za-z0-9._-]{0,120}\.png")


def folder_of(bundles: Path, name: object) -> Path:
    """Where a bundle of this name lies. Raises ConfigError for what is no bundle's name."""
    try:
        return bundles / _NAME.validate_python(name)
    except ValidationError:
        raise ConfigError(f"{str(name)[:64]!r} is no bundle's name") from None


def read_manifest(folder: Path) -> Manifest:
    """Raises ConfigError. Whether the files are what it says is looked at in `read_bundle`."""
    try:
        return Manifest.model_validate_json(read_inside(folder, MANIFEST, MANIFEST_BYTES_MAX))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{folder.name}: {MANIFEST}: {_first(error)}") from None


def listed(bundles: Path) -> list[dict[str, Any]]:
    """Every folder that is called a bundle, the newest first. Raises ConfigError."""
    try:
        folders = sorted(each for each in bundles.iterdir() if (each / SUMS).is_file())
    except OSError as error:
        raise ConfigError(f"{bundles}: cannot be read: {error.strerror}") from None
    rows = []
    for folder in folders[:BUNDLES_MAX]:
        try:
            rows.append(summary(folder.name, read_manifest(folder)))
        except ConfigError as error:
            rows.append({"id": folder.name, "trouble": str(error)[:500], "created_at": ""})
    return sorted(rows, key=lambda each: each["created_at"], reverse=True)


def summary(name: str, manifest: Manifest) -> dict[str, Any]:
    model = manifest.model
    return {
        "id": name,
        "name": manifest.name,
        "created_at": manifest.created_at.isoformat(),
        "good": manifest.good,
        "defects": [each for each in manifest.labels if each not in manifest.good],
        "certificate": manifest.certificate,
        "limits": manifest.limits.model_dump(),
        "architecture": model.architecture,
        "precision": model.precision,
        "variants": [each.name for each in manifest.variants],
        "parts": manifest.data.parts,
        "notice": manifest.data.notice,
        "tiles": str(manifest.tiles) if manifest.tiles else None,
        "tolerance": manifest.tolerance,
    }


def detail(folder: Path, manifest: Manifest) -> dict[str, Any]:
    """What opening one shows beside its summary."""
    report = _report(folder)
    parts, outputs = golden_parts(manifest, expected_of(manifest))
    predictions = scored(outputs, acceptable(manifest))
    numbers = [i for i, each in enumerate(manifest.golden) if not each.overview]
    return {
        "sha256": _sha256(folder),
        "code": manifest.code,
        "fingerprint": manifest.data.fingerprint,
        "golden_sha256": manifest.data.golden_sha256,
        "golden": [
            {
                "label": each.label,
                "good": each.label in manifest.good,
                "score": None if math.isnan(said.defect_score) else said.defect_score,
                "novelty": said.novelty,
                "picture": number,
            }
            for number, each, said in zip(numbers, parts, predictions, strict=True)
        ],
        "report": (folder / REPORT).is_file(),
        "figures": _figures(report),
    }


def _sha256(folder: Path) -> str:
    """Of the sums; empty where they cannot be read, which whoever verifies it says in words."""
    try:
        return hashlib.sha256(read_inside(folder, SUMS, MANIFEST_BYTES_MAX)).hexdigest()
    except (OSError, ValueError):
        return ""


def golden_picture(folder: Path, manifest: Manifest, index: int) -> bytes:
    """Raises OSError, ValueError where there is none of this number, or not in its place."""
    name = manifest.golden[index].file if index < len(manifest.golden) else ""
    if not _GOLDEN.fullmatch(name):
        raise ValueError(name)
    return read_inside(folder, name, REPORT_BYTES_MAX)


def limits_of(manifest: Manifest, variant: str | None) -> Limits:
    """Of the form of the model that runs."""
    return next(
        (each.limits for each in manifest.variants if each.name == variant), manifest.limits
    )


def curve(folder: Path) -> dict[str, Any] | None:
    """What other limits would have meant on the parts they were chosen with; None: not told."""
    row = _shipped(_report(folder))
    choice = as_dict(row.get("choice"))
    goals = choice.get("goals")
    escape = as_dict(as_dict(goals[0]).get("escape")) if isinstance(goals, list) and goals else {}
    overkill = as_dict(choice.get("overkill"))
    points = [
        [each["review_at"], each["escapes"], each["escape_at_most"], each["overkill"]]
        for each in _list(choice.get("curve"))[:POINTS_MAX]
        if _numbers(each, "review_at", "escapes", "escape_at_most", "overkill")
    ]
    if not points or not _numbers(escape, "n", "confidence") or not _numbers(overkill, "n"):
        return None
    if escape["n"] <= 0 or overkill["n"] <= 0:
        return None  # a rate of none
    return {
        "points": sorted(points),
        "defects": escape["n"],
        "good": overkill["n"],
        "confidence": escape["confidence"],
        "chosen_on": str(choice.get("chosen_on", ""))[:40],
    }


def _figures(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Escape, overkill and review as the report counted them, on which parts."""
    row = _shipped(report)
    found = []
    for on in ("golden", "validation"):
        rates = as_dict(row.get(on))
        for name in ("escape", "overkill", "review"):
            rate = as_dict(rates.get(name))
            if _numbers(rate, "events", "n", "at_most", "confidence"):
                kept = {key: rate[key] for key in ("events", "n", "at_most", "confidence")}
                found.append({"on": on, "what": name, **kept})
    return found


def _report(folder: Path) -> dict[str, Any]:
    try:
        return as_dict(json.loads(read_inside(folder, FIGURES, REPORT_BYTES_MAX)))
    except (OSError, ValueError, RecursionError):
        return {}


def _shipped(report: dict[str, Any]) -> dict[str, Any]:
    rows = [as_dict(each) for each in _list(report.get("models"))]
    return next((each for each in rows if each.get("role") == report.get("shipped")), {})


def _numbers(row: object, *names: str) -> bool:
    return all(_is_number(as_dict(row).get(each)) for each in names)


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < NUMBER_MAX if isinstance(value, int) else math.isfinite(value)


def as_dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _first(error: Exception) -> str:
    if isinstance(error, ValidationError):
        fault = error.errors()[0]
        return f"{'.'.join(str(step) for step in fault['loc'])}: {fault['msg']}"
    return getattr(error, "strerror", None) or str(error)
