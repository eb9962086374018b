"""A recipe an article, over years: what is remembered of each has its bound, and holds at it."""

import json
import logging
from pathlib import Path

import pytest

from inspector.contract.errors import ConfigError
from inspector.contract.revision import RECIPES_MAX as REVISED_MAX
from inspector.contract.revision import RecipeChange, read_revisions
from inspector.runtime.revise import Revisions
from inspector.runtime.served import RECIPES_MAX, Record, Served
from inspector.station.recipe import Recipe

CHANGE = RecipeChange(based_on=0, bundle="old-1", regions=None, limits=None, why="a change")


def recipe(name: str) -> Recipe:
    return Recipe(name=name, bundle="old-1", deadline_ms=100)


def write_served(path: Path, reloaded: range) -> None:
    recipes = {}
    for i in range(RECIPES_MAX):
        serving = "new-2" if i in reloaded else "old-1"
        recipes[f"r{i}"] = Served(commissioned="old-1", serving=serving).model_dump()
    path.write_text(json.dumps({"schema": 1, "recipes": recipes}), encoding="utf-8")


def test_one_recipe_more_than_are_remembered_undoes_no_reload(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "journal.db.bundles"
    write_served(path, reloaded=range(5))
    for name in ("r1000", "r1001", "r1000"):
        Record(path).keep(recipe(name), Served(commissioned="old-1", serving="new-2"))
    recipes = json.loads(path.read_text(encoding="utf-8"))["recipes"]
    assert len(recipes) == RECIPES_MAX
    served = [Record(path).known(recipe(f"r{i}")) for i in (*range(5), 1000, 1001)]
    assert [each.serving if each else None for each in served] == ["new-2"] * 7
    assert Record(path).known(recipe("r5")) is None, "which had nothing to tell"
    assert not caplog.records


def test_where_all_have_something_to_tell_what_served_longest_ago_is_forgotten_in_words(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "journal.db.bundles"
    write_served(path, reloaded=range(RECIPES_MAX))
    record, served = Record(path), Served(commissioned="old-1", serving="new-2")
    record.keep(recipe("r0"), served.model_copy(update={"handled": "newer"}))
    with caplog.at_level(logging.WARNING):
        record.keep(recipe("r1000"), served)
    assert record.known(recipe("r1")) is None
    assert record.known(recipe("r0")) is not None
    assert "that r1 serves new-2 is forgotten" in caplog.text


def test_one_recipe_more_than_can_be_revised_is_refused_and_the_revisions_stay_readable(
    tmp_path: Path,
) -> None:
    """Else the station could not have started any more: what holds was not to be known."""
    path = tmp_path / "journal.db.recipes"
    Revisions(path).add(recipe("r0"), CHANGE, "an engineer", "float")
    one = json.loads(path.read_text(encoding="utf-8"))["recipes"]["r0"]
    many = {f"r{i}": one for i in range(REVISED_MAX)}
    path.write_text(json.dumps({"schema": 2, "recipes": many}), encoding="utf-8")
    with pytest.raises(ConfigError, match="1000 recipes were changed from afar"):
        Revisions(path).add(recipe("r1000"), CHANGE, "an engineer", "float")
    assert len(read_revisions(path).recipes) == REVISED_MAX
    assert Revisions(path).add(recipe("r7"), CHANGE, "an engineer", "float").number == 2
