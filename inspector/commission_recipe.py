"""What `inspector commission` writes: the recipe, with its [attest] replaced."""

import re
import shutil
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from inspector.contract.errors import ConfigError
from inspector.contract.strict import parse
from inspector.contract.whole import require_place, write_whole
from inspector.station.attest_rule import Range
from inspector.station.recipe import Recipe

if TYPE_CHECKING:
    from inspector.commission import Learned

_NEXT = r"""^[ \t]*\[\[?[ \t]*(?!attest\b)[A-Za-z_"']"""
_ATTEST = rf"(?ms)^[ \t]*\[[ \t]*attest[ \t]*(\.[^\]]*)?\].*?(?={_NEXT}|\Z)"
"""A table [attest], or one below it, to the next other table: a row of landmarks is none."""
_LEAD = re.compile(r"(?:^[ \t]*(?:#.*)?\n)+\Z", re.MULTILINE)
"""Comments right above what follows: they are of that."""


def require_writable(path: Path, out: Path) -> None:
    """Whether the recipe can be written with an [attest] of ours, asked before an hour of parts.

    Raises ConfigError.
    """
    rest_of(path)
    require_place("--out", out)


def rest_of(path: Path) -> tuple[str, bool]:
    """The recipe without its tables [attest], and their may_repeat, which no picture can teach.

    Raises ConfigError where it says attest in another way: it would be there twice.
    """
    text = path.read_text(encoding="utf-8-sig")
    rule = parse(Recipe, tomllib.loads(text), str(path)).attest
    rest = re.sub(_ATTEST, _lead_of_next, text)
    try:
        left = tomllib.loads(rest)
    except tomllib.TOMLDecodeError:
        left = {"attest": None}
    if "attest" in left:
        raise ConfigError(f"{path}: write attest as a table [attest], not in one line")
    return rest.rstrip(), rule is not None and rule.may_repeat


def _lead_of_next(table: re.Match[str]) -> str:
    found = _LEAD.search(table[0])
    return found[0] if found and table.end() < len(table.string) else ""


def write_recipe(path: Path, out: Path, learned: "Learned") -> Recipe:
    """The recipe with its [attest] replaced, comments elsewhere kept; whole or not at all.

    Where `out` is the recipe itself, the old one stays beside it as NAME.before. Raises ConfigError
    where the result would be no recipe.
    """
    rest, may_repeat = rest_of(path)
    text = f"{rest}\n\n{_table(learned, may_repeat=may_repeat)}"
    recipe = parse(Recipe, tomllib.loads(text), str(path))
    if out.exists():
        shutil.copy2(out, out.with_name(f"{out.name}.before"))
    write_whole(out, text.encode(), draft=out.with_name(f".{out.name}.draft"))
    return recipe


def _table(learned: "Learned", *, may_repeat: bool) -> str:
    n = len(next(iter(learned.figures.values())))
    now = datetime.now(UTC)
    lines = ["[attest]", f"# inspector commission, {now:%Y-%m-%d %H:%M} UTC, {n} good parts"]
    lines += ["may_repeat = true"] if may_repeat else []
    for name in learned.figures:
        limits: Range = getattr(learned.rule, name)
        ends = [f"{key} = {value!r}" for key, value in limits.model_dump(exclude_none=True).items()]
        lines.append(f"{name} = {{ {', '.join(ends)} }}")
    if learned.rule.reference:
        rows = re.findall(".{1,96}", learned.rule.reference)
        marks = ", ".join(f"[{x}, {y}]" for x, y in learned.rule.landmarks)
        lines += [f"landmarks = [{marks}]", 'reference = """', *rows, '"""']
    return "\n".join(lines) + "\n"
