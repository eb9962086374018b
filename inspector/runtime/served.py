"""What serves which recipe, over restarts: a small file of the station's own, beside its journal.

A restart goes on with the bundle that served last, not with the one that was refused; and a bundle
on trial whose station did not end in order is not tried again by itself.
"""

import logging
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from inspector.contract.strict import Name, Strict
from inspector.contract.whole import write_whole
from inspector.runtime.folder import read_wish
from inspector.station.recipe import Recipe

RECIPES_MAX = 1_000
"""One more takes the place of the one that has nothing to tell, or served longest ago."""

log = logging.getLogger(__name__)


class Served(Strict):
    """Of one recipe."""

    commissioned: Name
    """The bundle the recipe itself names; once it names another, this is forgotten."""
    serving: Name
    previous: Name | None = None
    on_trial: bool = False
    """It serves since so short a time that, should the process die, it is to blame."""
    handled: str = ""
    """The wish in the bundles' folder that was followed or refused last."""
    refused: str | None = None


class ServedFile(Strict):
    schema_version: Literal[1] = Field(default=1, alias="schema")
    recipes: dict[Name, Served] = Field(default_factory=dict, max_length=RECIPES_MAX)


def served_path(journal: Path) -> Path:
    return journal.with_name(journal.name + ".bundles")


def serving_bundle(journal: Path, recipe: Recipe) -> Name:
    """Which bundle serves a recipe now, or after the station's next start; nothing is changed."""
    return in_turn(recipe, Record(served_path(journal)).known(recipe))[0]


def in_turn(recipe: Recipe, served: Served | None) -> list[Name]:
    """What may serve a recipe, the first that can. Its own limits hold for its own bundle alone."""
    if served is None or recipe.limits is not None:
        return [recipe.bundle]
    found = (served.serving, served.previous, recipe.bundle)
    return list(dict.fromkeys(filter(None, found)))


class Record:
    """The file. One thread at a time uses it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def recall(self, recipe: Recipe, bundles: Path) -> Served:
        """What served this recipe when the program ended; begun anew where it names another bundle.

        The pointer found then was there before the recipe: it is not followed.
        """
        served = self.known(recipe)
        if served is None:
            wish = read_wish(bundles)
            mark = wish.mark if wish else ""
            return Served(commissioned=recipe.bundle, serving=recipe.bundle, handled=mark)
        if not served.on_trial or served.previous is None:
            return served.model_copy(update={"on_trial": False})
        words = f"{served.serving}: the station did not end in order while it was on trial"
        log.error("bundle %s; %s serves", words, served.previous)
        changes = {"serving": served.previous, "previous": None, "on_trial": False}
        return served.model_copy(update={**changes, "refused": words})

    def known(self, recipe: Recipe) -> Served | None:
        """None where nothing has served it, or it names another bundle since."""
        served = self._read().recipes.get(recipe.name)
        return served if served and served.commissioned == recipe.bundle else None

    def keep(self, recipe: Recipe, served: Served) -> None:
        """On disk when this returns. A disk that cannot take it stops nothing: it is said."""
        file = self._read()
        if file.recipes.get(recipe.name) == served:
            return
        recipes = {name: each for name, each in file.recipes.items() if name != recipe.name}
        while len(recipes) >= RECIPES_MAX:
            del recipes[self._least(recipes)]
        changed = ServedFile(recipes={**recipes, recipe.name: served})
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self._path, changed.model_dump_json(by_alias=True, indent=2).encode())
        except OSError as error:
            log.error("%s: a restart will not know what serves: %s", self._path, error.strerror)

    def _least(self, recipes: dict[Name, Served]) -> Name:
        """Which can be forgotten: one whose own bundle serves; else what served longest ago."""
        for name, each in recipes.items():
            if each.serving == each.commissioned and each.refused is None and not each.on_trial:
                return name
        oldest = next(iter(recipes))
        words = "%s: holds %d recipes: that %s serves %s is forgotten, its own bundle serves next"
        log.warning(words, self._path, RECIPES_MAX, oldest, recipes[oldest].serving)
        return oldest

    def _read(self) -> ServedFile:
        """A damaged one is no reason to stop: the recipe's own bundle serves."""
        try:
            return ServedFile.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return ServedFile()
        except (OSError, ValidationError) as error:
            log.warning("%s: cannot be used, the recipe's own bundle serves: %s", self._path, error)
            return ServedFile()
