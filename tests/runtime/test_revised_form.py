"""Limits are set for one form's scores: as another form of the model they let no more pass."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from inspector.contract.revision import RecipeChange, read_revisions
from inspector.contract.variant import Needs, VariantName, Wanted
from inspector.contract.verdict import Limits
from inspector.hmi.recipes import recipe_of
from inspector.hmi.settings import places, read_hmi_settings
from inspector.runtime import loader
from inspector.runtime.cpu import Cpu
from inspector.runtime.reload import Reloader
from inspector.runtime.revise import Revisions
from inspector.serves import serving_job
from inspector.settings import read_settings
from inspector.station.recipe import Recipe
from tests.runtime.test_reload import Bay
from tests.runtime.test_revise import LEFT, judged_by, revise
from tests.support import make_bundle, run_inspector, toml, until, write_station

FLOATS = Limits(review_at=0.3, reject_at=0.7)
INT8S = Limits(review_at=0.6, reject_at=0.8)
STRICTER_AS_INT8 = Limits(review_at=0.5, reject_at=0.8)
BEYOND = Limits(review_at=0.7, reject_at=0.8)
STRICTER_AS_BOTH = Limits(review_at=0.2, reject_at=0.75)
OLD = Path(__file__).parent.parent / "data" / "recipes-v1.json"
PAGES_OF_IT = '[[stations]]\nsettings = "station.toml"\n'


@pytest.fixture
def bay(tmp_path: Path) -> Iterator[Bay]:
    """Of a bundle whose INT8 has limits of its own; any machine runs it."""
    bay = Bay(tmp_path)
    make(bay, {"int8-vnni": Needs()})
    yield bay
    bay.close()


def make(bay: Bay, variants: dict[VariantName, Needs]) -> None:
    bay.first = make_bundle(bay.bundles, limits=FLOATS, variants=variants, variant_limits=INT8S)
    bay.recipe = bay.recipe.model_copy(update={"bundle": bay.first.id})


def begin(bay: Bay, wanted: Wanted) -> Reloader:
    """The station's next start, with this form of the model."""
    bay.close()
    bay.wanted = wanted
    return bay.start()


def judges_by(bay: Bay, review_at: float, reject_at: float) -> bool:
    return until(lambda: bay.serves(bay.first) and judged_by(bay)[:2] == (review_at, reject_at))


@pytest.mark.parametrize(
    ("limits", "beyond", "as_float"),
    [
        (STRICTER_AS_INT8, False, (0.3, 0.7)),
        (BEYOND, True, (0.3, 0.7)),
        (STRICTER_AS_BOTH, False, (0.2, 0.7)),
    ],
)
def test_limits_set_for_int8_hold_for_float_only_where_they_are_stricter_and_it_is_said(
    bay: Bay, limits: Limits, as_float: tuple[float, float], *, beyond: bool
) -> None:
    taken, words = revise(bay, begin(bay, "auto"), limits=limits, beyond_certificate=beyond)
    assert taken, words
    assert judges_by(bay, limits.review_at, limits.reject_at)
    (kept,) = read_revisions(bay.folder / "journal.db.recipes").recipes["tiny"].revisions
    assert (kept.variant, kept.beyond_certificate) == ("int8-vnni", beyond)
    begin(bay, "float")
    assert judges_by(bay, *as_float)
    refused = bay.exchange.status.refused or ""
    assert refused.startswith(
        f"revision 1: its limits (review {limits.review_at:g}, reject {limits.reject_at:g}) were "
        f"set for int8-vnni{', beyond its certificate' if beyond else ''}, and float runs: the "
        f"stricter of them and float's own hold (review {as_float[0]:g}, reject {as_float[1]:g})"
    )
    assert bay.exchange.status.revision == 1
    begin(bay, "auto")
    assert judges_by(bay, limits.review_at, limits.reject_at)
    assert bay.exchange.status.refused is None


def test_limits_set_anew_for_the_form_that_runs_hold_for_it(bay: Bay) -> None:
    assert revise(bay, begin(bay, "auto"), limits=STRICTER_AS_INT8)[0]
    reloader = begin(bay, "float")
    anew = Limits(review_at=0.25, reject_at=0.75)
    taken, words = revise(bay, reloader, based_on=1, limits=anew)
    assert taken, words
    assert "limits: review 0.3, reject 0.7 -> review 0.25, reject 0.75" in words
    assert judges_by(bay, 0.25, 0.75)
    assert bay.exchange.status.refused is None
    begin(bay, "float")
    assert judges_by(bay, 0.25, 0.75)
    assert bay.exchange.status.refused is None


def as_written_by_an_older_program(path: Path) -> None:
    """Schema 1: neither the form nor whether a person took more on."""
    file = json.loads(path.read_bytes())
    assert file["schema"] == 2
    for revision in file["recipes"]["tiny"]["revisions"]:
        del revision["variant"], revision["beyond_certificate"]
    path.write_text(json.dumps({**file, "schema": 1}), encoding="utf-8")


def test_a_revision_of_an_older_program_holds_as_it_is_only_where_there_is_but_one_form(
    bay: Bay,
) -> None:
    assert revise(bay, begin(bay, "auto"), limits=STRICTER_AS_INT8)[0]
    bay.close()
    as_written_by_an_older_program(bay.folder / "journal.db.recipes")
    begin(bay, "float")
    assert judges_by(bay, 0.3, 0.7)
    assert "a form of the model that was not kept" in (bay.exchange.status.refused or "")


def test_a_file_that_the_program_of_schema_1_wrote_is_read_and_goes_on_as_schema_2(
    tmp_path: Path,
) -> None:
    path = tmp_path / "journal.db.recipes"
    path.write_bytes(OLD.read_bytes())
    revisions, written = Revisions(path), Recipe(name="tiny", bundle="tiny-0123456789ab")
    held = Limits(review_at=0.2, reject_at=0.6, novelty_at=1.5)
    assert revisions.held(written).limits == held
    newest = revisions.newest(written)
    assert newest is not None
    assert (newest.number, newest.variant, newest.beyond_certificate) == (2, None, False)
    words = {"based_on": 2, "bundle": written.bundle, "regions": None, "limits": None, "why": "w"}
    revisions.add(written, RecipeChange.model_validate(words), "test", "float")
    file = json.loads(path.read_bytes())
    kept = [each["variant"] for each in file["recipes"]["tiny"]["revisions"]]
    assert (file["schema"], kept) == (2, [None, None, "float"])


def test_limits_beyond_the_certificate_of_a_bundle_of_one_form_outlive_the_update(
    tmp_path: Path,
) -> None:
    bay = Bay(tmp_path)
    try:
        beyond = Limits(review_at=0.35, reject_at=0.7)
        assert revise(bay, bay.start(), limits=beyond, beyond_certificate=True)[0]
        bay.close()
        as_written_by_an_older_program(bay.folder / "journal.db.recipes")
        reloader = bay.start()
        assert judges_by(bay, 0.35, 0.7)
        assert bay.exchange.status.refused is None
        assert revise(bay, reloader, based_on=1)[0], "an older file takes a newer revision"
    finally:
        bay.close()


def test_limits_looked_at_as_one_form_are_refused_where_other_regions_bring_another(
    bay: Bay, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(bay, {"int8-avx2": Needs(cpu_flags=("avx2",))})
    monkeypatch.setattr(loader, "read_cpu", lambda: Cpu("x86_64", frozenset({"avx2"})))
    reloader = bay.start()
    assert reloader.job.runtime.running.variant == "int8-avx2"
    # a virtual machine has moved to another processor
    monkeypatch.setattr(loader, "read_cpu", lambda: Cpu("x86_64", frozenset()))
    taken, words = revise(bay, reloader, limits=BEYOND, beyond_certificate=True, regions=LEFT)
    assert not taken
    assert "limits were set for int8-avx2" in words
    assert "runs float by now (int8-avx2: this CPU shows no avx2): stop, select and look" in words
    assert judges_by(bay, 0.6, 0.8)
    assert revise(bay, reloader, regions=LEFT)[0], "each form has its own limits"
    assert judges_by(bay, 0.3, 0.7)


def test_limits_in_the_recipes_file_are_held_against_the_form_that_runs(
    bay: Bay, caplog: pytest.LogCaptureFixture
) -> None:
    bay.recipe = bay.recipe.model_copy(update={"limits": STRICTER_AS_INT8})
    looser = "review_at 0.5 is above the bundle's 0.3, as float: more may escape"
    begin(bay, "auto")
    assert "more may escape" not in caplog.text
    with caplog.at_level(logging.WARNING):
        begin(bay, "float")
    assert looser in caplog.text
    assert judges_by(bay, 0.5, 0.8), "a person wrote them"


def checked(path: Path) -> list[str]:
    done = run_inspector("check", path)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_check_says_by_form_what_own_limits_let_pass(bay: Bay) -> None:
    limits = STRICTER_AS_INT8.model_dump(exclude_none=True)
    path = write_station(bay.folder, bay.first, recipe={"limits": limits})
    lines = [each for each in checked(path) if "golden defects" in each]
    assert [each.partition(" the recipe's")[0] for each in lines] == [
        "note  limits as float:",
        "note  limits as int8-vnni:",
    ]
    assert lines[0].endswith("recipe's; review_at 0.5 is above the bundle's 0.3")
    assert lines[1].endswith("does not hold for the recipe's")


def told(bay: Bay) -> dict[str, Any]:
    """The station's state, as the pages hear it."""
    running = bay.running
    assert running is not None
    assert until(lambda: running.station.snapshot.model is not None)
    state: dict[str, Any] = json.loads(running.station.snapshot.to_json())
    return state


def test_check_and_page_say_where_a_revision_was_made_for_another_form(bay: Bay) -> None:
    path = write_station(bay.folder, bay.first, model_variant="float")
    assert revise(bay, begin(bay, "auto"), limits=STRICTER_AS_INT8)[0]
    bay.close()
    assert any("were set for int8-vnni, and float runs" in each for each in checked(path))
    assert not any("is above the bundle's" in each for each in checked(path))
    pages = bay.folder / "hmi.toml"
    pages.write_text(toml({"state_folder": "pages"}) + PAGES_OF_IT, encoding="utf-8")
    (place,) = places(read_hmi_settings(pages))
    assert serving_job(read_settings(path))[0].limits == FLOATS, "what is signed for"
    begin(bay, "float")
    shown = recipe_of(place, told(bay))
    assert shown["holds"]["limits"] == FLOATS.model_dump()
    assert shown["other_form"] == "float"
    assert shown["revisions"][0]["limits"] == STRICTER_AS_INT8.model_dump(), "as it was made"
    begin(bay, "auto")
    shown = recipe_of(place, told(bay))
    assert shown["holds"]["limits"] == STRICTER_AS_INT8.model_dump()
    assert shown["other_form"] is None
