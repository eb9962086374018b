"""Mutated bundles: every one is refused with a reason in words, and the old bundle goes on.

The long form: `pytest -m slow tests/runtime/test_mutants.py`.
"""

import shutil
from pathlib import Path

import pytest

from inspector.contract.bundle import Bundle
from inspector.contract.errors import BundleError
from inspector.contract.variant import Needs, VariantName
from inspector.runtime.folder import BundleSettings
from inspector.runtime.loader import load_runtime
from inspector.runtime.reload import Reloader
from inspector.runtime.revise import Revisions
from inspector.runtime.signature import make_keys, sign_bundle, trust_in
from inspector.station.exchange import JobExchange
from inspector.station.recipe import Recipe
from tests.runtime.mutants import DAMAGES, EDITS, FORGERIES, KINDS, Mutant, mutate
from tests.support import make_bundle, until

LONG = 200
NEEDS_KEY = (
    "signature of a stranger",
    "signature of another bundle",
    "signature missing",
    "good is a defect",
    "another product",
    "a golden picture of another class",
)
"""Whole and sensible in themselves: a station without a key has nothing to hold them against."""


WITHOUT_KEY = [kind for kind in KINDS if kind not in DAMAGES and kind not in NEEDS_KEY]


class Yard:
    """A signed good bundle, the key it is signed by, and a place for mutants."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.public = make_keys(folder / "ours")
        make_keys(folder / "theirs")
        # any machine takes the first, which is tested beside the bundle's own model
        variants: dict[VariantName, Needs] = {
            "int8-vnni": Needs(),
            "fp16": Needs(provider="CUDAExecutionProvider"),
        }
        self.good: Bundle = make_bundle(folder / "good", variants=variants)
        sign_bundle(self.good.folder, folder / "ours")
        self.trust = trust_in(self.public)

    def mutant(self, kind: str, seed: int) -> Mutant:
        into = self.folder / f"{KINDS.index(kind)}-{seed}"
        return mutate(kind, self.good.folder, into, seed, self.folder / "theirs")

    def refusal(self, mutant: Mutant, *, with_key: bool) -> str:
        """Why the loader refuses it; anything but a BundleError is a fault of ours."""
        folder, trust = mutant.folder, self.trust if with_key else None
        with pytest.raises(BundleError) as refused:
            load_runtime(folder.parent, folder.name, trust=trust)
        return str(refused.value)


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Yard:
    return Yard(tmp_path_factory.mktemp("mutants"))


def test_what_the_mutants_are_made_from_serves(yard: Yard, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(yard.good.folder, tmp_path / yard.good.id))
    runtime = load_runtime(copy.parent, copy.name, trust=yard.trust)
    assert runtime.bundle_id == yard.good.id
    assert runtime.running.variant == "int8-vnni"


@pytest.mark.parametrize("kind", WITHOUT_KEY)
def test_a_mutant_is_refused_even_without_a_key(yard: Yard, kind: str) -> None:
    mutant = yard.mutant(kind, 0)
    words = yard.refusal(mutant, with_key=False).replace(str(mutant.folder), "")
    assert len(words.split()) > 4, words


@pytest.mark.parametrize("kind", KINDS)
def test_a_mutant_is_refused_with_a_key(yard: Yard, kind: str) -> None:
    words = yard.refusal(yard.mutant(kind, 1), with_key=True)
    if kind in FORGERIES or kind in EDITS:
        assert "signed" in words or "is not by the key" in words, words


def test_a_station_at_work_refuses_a_bundle_that_takes_defects_for_good(
    yard: Yard, tmp_path: Path
) -> None:
    bundles = yard.mutant("good is a defect", 0).folder.parent
    forged = next(bundles.iterdir()).name
    shutil.copytree(yard.good.folder, bundles / yard.good.id)
    recipe = Recipe(name="tiny", bundle=yard.good.id, deadline_ms=5_000)
    reloader = Reloader(
        BundleSettings(folder=bundles),
        record=tmp_path / "record",
        revisions=Revisions(tmp_path / "recipes"),
        exchange=JobExchange(),
    )
    reloader.prepare(recipe)
    answers: list[tuple[bool, str]] = []
    reloader.start()
    try:
        assert reloader.offer(forged, "test", lambda taken, words: answers.append((taken, words)))
        assert until(lambda: bool(answers))
    finally:
        reloader.stop()
    taken, words = answers[0]
    assert not taken
    assert "for good, the serving one good" in words


@pytest.mark.slow
def test_200_of_200_mutants_are_refused(yard: Yard) -> None:
    """Every other one by a station without a key, which sees less."""
    refused: list[str] = []
    for number in range(LONG):
        kinds = WITHOUT_KEY if number % 2 else KINDS
        kind = kinds[number // 2 % len(kinds)]
        mutant = yard.mutant(kind, 10 + number)
        words = yard.refusal(mutant, with_key=kinds is KINDS).replace(str(mutant.folder), "")
        assert len(words.split()) > 4, words
        refused.append(words)
    assert len(refused) == LONG
