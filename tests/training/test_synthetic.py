"""Painted defects: on good pictures alone, taught as some defect, the same every time."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from inspector.contract.errors import ConfigError
from inspector.contract.image import ImageSpec
from inspector.contract.strict import parse
from tests.training.plates import PLAN
from training.augment import Augmenter
from training.material import Material
from training.plan import fingerprint, read_plan
from training.plan_networks import Mix
from training.plan_synthetic import Kind, Synthetic
from training.synthetic import VISIBLE, ZONE_VISIBLE, painted
from training.views import Views

SIDE, CLASSES, GOOD = 64, 4, (1,)


@pytest.fixture
def material() -> Material:
    rng = np.random.default_rng(0)
    pixels = rng.integers(90, 140, (40, SIDE, SIDE, 3), dtype=np.uint8)
    targets = np.arange(40) % CLASSES
    return Material(
        pixels, targets, np.arange(32), np.arange(32, 40), CLASSES, GOOD, synthetic=Synthetic()
    )


def views_of(material: Material, mix: Mix | None = None) -> Views:
    augmenter = Augmenter((), ImageSpec(width=SIDE, height=SIDE), 0)
    return Views(material, augmenter, mix or Mix(share=0.0), 0)


def always(material: Material) -> Material:
    return replace(material, synthetic=Synthetic(share=0.9))


def test_only_views_of_good_pictures_are_painted_on_and_as_many_as_the_plan_says(
    material: Material,
) -> None:
    views, painted_on = views_of(material), []
    for view in range(50):
        batch = views.batch(material.train, view)
        changed = (batch.images.numpy() != material.pixels[material.train]).any(axis=(1, 2, 3))
        is_good = material.targets[material.train] == GOOD[0]
        assert not changed[~is_good].any()
        painted_on.append(changed[is_good].mean())
    assert np.mean(painted_on) == pytest.approx(0.3, abs=0.07)


def test_a_painted_view_is_some_defect_and_nobody_says_which(material: Material) -> None:
    batch = views_of(always(material)).batch(material.train, 0)
    some = [1 / 3, 0.0, 1 / 3, 1 / 3]
    targets = torch.eye(CLASSES)[torch.from_numpy(material.targets[material.train])]
    for image, target, row, own in zip(
        batch.images.numpy(), batch.target, material.train, targets, strict=True
    ):
        is_changed = bool((image != material.pixels[row]).any())
        assert torch.allclose(target, torch.tensor(some) if is_changed else own)


def test_a_painted_view_is_the_same_whenever_it_is_drawn(material: Material) -> None:
    first = views_of(material, Mix(share=0.5)).batch(material.train, 3)
    views = views_of(material, Mix(share=0.5))
    views.batch(material.train, 2)
    again = views.batch(material.train, 3)
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.target, again.target)


def test_what_is_mixed_with_a_painted_view_takes_its_share_of_the_target(
    material: Material,
) -> None:
    half = replace(material, synthetic=Synthetic(share=0.5))
    alone = replace(half, train=np.flatnonzero(material.targets == GOOD[0]))
    target = views_of(alone, Mix(share=1.0)).batch(alone.train, 0).target
    assert torch.allclose(target.sum(dim=1), torch.ones(len(target)))
    spread = target[:, [0, 2, 3]]
    assert torch.allclose(spread.amax(dim=1), spread.amin(dim=1))
    assert ((target[:, GOOD[0]] > 0.0) & (target[:, GOOD[0]] < 1.0)).any()


def test_how_severe_a_painted_defect_is_nobody_says(material: Material) -> None:
    graded = replace(always(material), severity=np.zeros(40, np.float32))
    batch = views_of(graded).batch(material.train, 0)
    assert batch.severity is not None
    changed = (batch.images.numpy() != material.pixels[material.train]).any(axis=(1, 2, 3))
    assert torch.equal(batch.severity.isnan(), torch.from_numpy(changed))


def test_a_picture_without_a_label_is_left_as_it_is(material: Material) -> None:
    beside = np.full((3, SIDE, SIDE, 3), 100, np.uint8)
    joined = always(material).joined(beside, np.arange(3), 3)
    rows = np.arange(40, 43)
    batch = views_of(joined).batch(rows, 0)
    assert np.array_equal(batch.images.numpy(), beside)
    assert not batch.target.any()


@pytest.mark.parametrize("kind", ["spot", "scratch", "patch"])
def test_what_is_painted_is_small_and_can_be_seen(kind: Kind) -> None:
    rng = np.random.default_rng(4)
    plain = np.full((SIDE, SIDE, 3), 120, np.uint8)
    donor = np.full((SIDE, SIDE, 3), 40, np.uint8)
    for _ in range(30):
        found = painted(plain, lambda: donor, Synthetic(kinds=(kind,)), rng)
        assert found is not None
        difference = np.abs(found.astype(float) - plain).max(axis=2)
        assert difference.max() >= VISIBLE
        assert 0 < (difference > VISIBLE / 2).mean() < 0.3


def test_a_zone_reaches_the_picture_s_side_and_leaves_some_of_it_as_it_was() -> None:
    rng = np.random.default_rng(4)
    plain = rng.integers(90, 150, (SIDE, SIDE, 3), dtype=np.uint8)
    donor = rng.integers(20, 80, (SIDE, SIDE, 3), dtype=np.uint8)
    shares = []
    for _ in range(60):
        found = painted(plain, lambda: donor, Synthetic(kinds=("zone",)), rng)
        assert found is not None
        changed = np.abs(found.astype(float) - plain).max(axis=2) > ZONE_VISIBLE
        sides = changed[0], changed[-1], changed[:, 0], changed[:, -1]
        assert max(side.mean() for side in sides) > 0.1
        shares.append(changed.mean())
    assert 0.0 < min(shares) < 0.3 < max(shares) < 0.95


def test_a_zone_on_a_surface_without_grain_is_told_by_its_brightness_or_not_painted() -> None:
    plain = np.full((SIDE, SIDE, 3), 120, np.uint8)
    rng, seen = np.random.default_rng(0), []
    for _ in range(20):
        found = painted(plain, lambda: plain, Synthetic(kinds=("zone",)), rng)
        assert found is None or np.abs(found.astype(float) - plain).max() >= ZONE_VISIBLE
        seen.append(found is not None)
    assert any(seen)


def test_a_patch_of_the_same_material_is_no_defect() -> None:
    plain = np.full((SIDE, SIDE, 3), 120, np.uint8)
    rng = np.random.default_rng(0)
    assert painted(plain, lambda: plain, Synthetic(kinds=("patch",)), rng) is None


def test_a_size_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(ConfigError, match="from must not be above to"):
        parse(Synthetic, {"size": [0.5, 0.1]}, "plan: synthetic")


def test_a_plan_that_paints_has_networks_of_its_own(tmp_path: Path) -> None:
    """What is learned is kept under what views come of; without painting that is as it was."""
    drawn_by = []
    for section in ("", "[synthetic]\n", "[synthetic]\nshare = 0.2\n"):
        path = tmp_path / "plan.toml"
        path.write_text(PLAN + section, encoding="utf-8")
        plan = read_plan(path)
        drawn_by.append(fingerprint(*plan.drawn_by))
        if not section:
            assert plan.drawn_by == (plan.augment,)
    assert len(set(drawn_by)) == 3


@pytest.mark.parametrize("key", ["[synthetic]\n", "[student]\nseverity_weight = 0.5\n"])
def test_a_class_that_is_good_after_all_has_what_was_taught_of_it_taught_anew(
    tmp_path: Path, key: str
) -> None:
    """Good pictures are painted on, and severities go to the other classes."""
    section = key.split("\n", maxsplit=1)[0]
    text = PLAN.replace(section, key) if section in PLAN else PLAN + key
    assert 'good = ["good"]' in text
    drawn_by = []
    for good in ('["good"]', '["good", "spot"]', '["spot", "good"]'):
        path = tmp_path / "plan.toml"
        path.write_text(text.replace('["good"]', good), encoding="utf-8")
        drawn_by.append(fingerprint(*read_plan(path).drawn_by))
    assert drawn_by[0] != drawn_by[1] == drawn_by[2]
