"""The recipe as the pages read it, beside the station: its file, its revisions, its bundle."""

from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ConfigDict

from inspector.contract.bundle import Manifest
from inspector.contract.errors import ConfigError
from inspector.contract.regions import RegionRule
from inspector.contract.revision import (
    Revised,
    Revision,
    limits_for,
    read_revisions,
    revisions_path,
    set_for,
)
from inspector.contract.strict import Name, Strict, read_toml
from inspector.contract.verdict import Limits
from inspector.delivery.kept import is_kept
from inspector.hmi import bundles
from inspector.hmi.history import newest
from inspector.hmi.settings import Place

LOOKED_AT = 300
PICTURES = 6
"""Of each kind."""
REVISIONS_SHOWN = 100


class _Lenient(Strict):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Frame(_Lenient):
    width: int
    height: int


class _Attest(_Lenient):
    reference: str | None = None


class Written(_Lenient):
    """What is read of a recipe's file: the station judges the rest."""

    name: Name
    bundle: Name
    frame: _Frame | None = None
    regions: RegionRule | None = None
    limits: Limits | None = None
    attest: _Attest | None = None


def read_written(place: Place) -> Written:
    """Raises ConfigError, also where the file is not on this machine."""
    if place.recipe is None:
        raise ConfigError("the recipe's file is not on this machine")
    return read_toml(place.recipe, Written)


def recipe_of(place: Place, said: dict[str, Any]) -> dict[str, Any]:
    """What holds, what was before, and what is known of other limits. Raises ConfigError.

    said: the station's state.
    """
    written = read_written(place)
    serving = said.get("bundle") if said.get("recipe") == written.name else None
    revised = _revised(place, written.name)
    number, holds = _holds(revised, said)
    opened = _opened(place, serving)
    here, other_form = _as_judged(holds, opened, said)
    return {
        "name": written.name,
        "serving": serving,
        "revision": number,
        "known": holds is not None or number == 0,
        "holds": _shown(here or written),
        "other_form": other_form,
        "written": _shown(written),
        "frame": written.frame.model_dump() if written.frame else None,
        "on_trial": bool(bundles.as_dict(said.get("bundles")).get("on_trial")),
        "revisions": [
            {**each.model_dump(mode="json"), **_shown(each)}
            for each in reversed(revised.revisions[-REVISIONS_SHOWN:])
        ],
        "reference": written.attest is not None and written.attest.reference is not None,
        "pictures": pictures(place),
        "bundle": _bundle(opened, said),
    }


def has_own_limits(place: Place, said: dict[str, Any]) -> bool:
    """Whether the recipe that holds is pinned to its bundle by limits. Raises ConfigError."""
    written = read_written(place)
    _, holds = _holds(_revised(place, written.name), said)
    return (holds or written).limits is not None


def _holds(revised: Revised, said: dict[str, Any]) -> tuple[int, Revision | None]:
    """Which revision the station says it goes by; None: the file, or one that is not here."""
    number = bundles.as_dict(said.get("bundles")).get("revision")
    number = number if isinstance(number, int) else 0
    return number, next((each for each in revised.revisions if each.number == number), None)


class _Opened(NamedTuple):
    folder: Path
    manifest: Manifest


def _opened(place: Place, serving: object) -> _Opened | ConfigError | None:
    """The bundle that serves, or why it cannot be read; None where its folder is not here."""
    if place.bundles is None or not isinstance(serving, str):
        return None
    try:
        folder = bundles.folder_of(place.bundles, serving)
        return _Opened(folder, bundles.read_manifest(folder))
    except ConfigError as error:
        return error


def _as_judged(
    holds: Revision | None, opened: _Opened | ConfigError | None, said: dict[str, Any]
) -> tuple[Revision | None, str | None]:
    """With the limits that hold for the form of the model that runs; its name, where they were set
    for another. A bundle that is not on this machine cannot be asked for its forms.
    """
    if holds is None or holds.limits is None or not isinstance(opened, _Opened):
        return holds, None
    if holds.bundle != opened.folder.name:
        return holds, None
    manifest, variant = opened.manifest, _variant(said)
    alone = not manifest.variants
    if set_for(holds, variant, alone=alone):
        return holds, None
    limits = limits_for(holds, variant, bundles.limits_of(manifest, variant), alone=alone)
    return holds.model_copy(update={"limits": limits}), variant


def _variant(said: dict[str, Any]) -> str:
    return str(bundles.as_dict(said.get("model")).get("variant"))


def _revised(place: Place, recipe: str) -> Revised:
    nothing = Revised(written="0" * 64)
    if place.journal is None:
        return nothing
    return read_revisions(revisions_path(place.journal)).recipes.get(recipe, nothing)


def _shown(each: Any) -> dict[str, Any]:
    return {
        "bundle": each.bundle,
        "regions": each.regions.model_dump() if each.regions else None,
        "limits": each.limits.model_dump() if each.limits else None,
    }


def _bundle(opened: _Opened | ConfigError | None, said: dict[str, Any]) -> dict[str, Any] | None:
    """Of the bundle that serves, where its folder is on this machine."""
    if opened is None:
        return None
    if isinstance(opened, ConfigError):
        return {"trouble": str(opened)[:500]}
    manifest, variant = opened.manifest, _variant(said)
    return {
        **bundles.summary(opened.folder.name, manifest),
        "limits": bundles.limits_of(manifest, variant).model_dump(),
        "tiling": manifest.tiles.cutting.model_dump() if manifest.tiles else None,
        "variant": variant,
        "curve": bundles.curve(opened.folder),
    }


def pictures(place: Place) -> list[dict[str, Any]]:
    """The newest parts whose picture is kept, some that passed and some that did not."""
    if place.journal is None or place.archive is None or not place.journal.exists():
        return []
    found: list[dict[str, Any]] = []
    count = {True: 0, False: 0}
    for result in reversed(newest(place.journal, LOOKED_AT)):
        image, passed = result.get("image"), result.get("evaluation") == "OK"
        if isinstance(image, str) and count[passed] < PICTURES and is_kept(place.archive, image):
            count[passed] += 1
            part = result.get("part")
            name = part.get("id") if isinstance(part, dict) else None
            found.append({
                "image": image, "seq": result.get("seq"), "part": name,
                "evaluation": result.get("evaluation"), "regions": result.get("regions"),
            })  # fmt: skip
    return sorted(found, key=lambda each: each["evaluation"] != "OK")  # a good part first
