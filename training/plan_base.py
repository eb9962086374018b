"""Plans that are another plan with differences: `base`.

A line of ten products has one plan and nine of a few lines; a comparison of methods says of each
what it changes, and nothing else.
"""

from pathlib import Path
from typing import Any, NamedTuple

from inspector.contract.errors import ConfigError
from inspector.contract.strict import read_table

BASE = "base"


class Written(NamedTuple):
    """What a plan's file says together with the one that it is based on."""

    table: dict[str, Any]
    where: str
    """The files, for whoever is told of a fault."""


def read_based(path: Path) -> Written:
    """The plan's file, laid upon its base, and that upon its own. Raises ConfigError."""
    return _read(path, ())


def _read(path: Path, above: tuple[Path, ...]) -> Written:
    table = read_table(path)
    name = table.pop(BASE, None)
    if name is None:
        return Written(table, str(path))
    base = _beside(path, name)
    if base.resolve() in (each.resolve() for each in (*above, path)):
        raise ConfigError(f"{path}: {BASE} {name!r}: is based on this plan itself")
    if not base.is_file():
        raise ConfigError(f"{path}: {BASE} {name!r}: there is no such file beside it")
    below = _read(base, (*above, path))
    return Written(laid_upon(below.table, table), f"{path} (based on {below.where})")


def _beside(path: Path, name: object) -> Path:
    # the files that both name (weights, networks, archives) are found beside one of them
    if not isinstance(name, str) or Path(name).name != name:
        raise ConfigError(f"{path}: {BASE} {name!r}: must be the name of a plan in the same folder")
    return path.parent / name


def laid_upon(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Sections key by key; anything else, lists too, as `over` has it. `false` where the base has a
    section, a list, a number or words: as if the base did not say it.
    """
    merged = dict(base)
    for key, value in over.items():
        there = merged.get(key)
        if value is False and key in base and not isinstance(there, bool):
            del merged[key]
        elif isinstance(value, dict) and isinstance(there, dict):
            merged[key] = laid_upon(there, value)
        else:
            merged[key] = value
    return merged
