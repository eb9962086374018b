"""Probabilities that are as sure as they are right."""

import numpy as np
import pytest
import torch
from torch.nn.functional import softmax

from inspector.contract.errors import TrainingError
from training.calibrate import SOFTEST, at_temperature_1, fit_temperature, reliability
from training.exported import Exported
from training.models import build


def honest(n: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and classes drawn from just the probabilities they state."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (n, 3)).astype(np.float32)
    drawn = logits + rng.gumbel(size=logits.shape)  # the Gumbel-max trick
    return logits, drawn.argmax(axis=1)


@pytest.mark.parametrize("k", [0.5, 1.0, 3.0])
def test_logits_that_are_k_times_too_sure_need_a_temperature_of_k(k: float) -> None:
    logits, targets = honest(20_000)
    found = fit_temperature(logits * np.float32(k), targets)
    assert found.value == pytest.approx(k, rel=0.03)
    assert found.nll_after <= found.nll_before


def test_the_temperature_of_three_in_four_is_worked_out_by_hand() -> None:
    # two classes, margin 2, right three times in four: 1 / (1 + exp(-2 / T)) = 3 / 4, T = 2 / ln 3
    logits = np.array([[2.0, 0.0]] * 4, np.float32)
    found = fit_temperature(logits, np.array([0, 0, 0, 1]))
    assert found.value == pytest.approx(2 / np.log(3), rel=1e-3)
    assert found.nll_after == pytest.approx(-(3 * np.log(0.75) + np.log(0.25)) / 4, rel=1e-6)


def test_a_model_that_is_always_right_keeps_its_temperature_and_says_why() -> None:
    found = fit_temperature(np.array([[3.0, 0.0], [0.0, 2.0]], np.float32), np.array([0, 1]))
    assert found.value == 1.0
    assert "left at 1: 2 of 2 validation parts are right" in found.sentence


def test_a_model_that_guesses_is_held_at_the_softest_and_says_so() -> None:
    found = fit_temperature(np.array([[3.0, 0.0]] * 4, np.float32), np.array([1, 1, 0, 1]))
    assert found.value == SOFTEST
    assert "no better than guessing" in found.sentence


def test_logits_that_are_no_numbers_end_in_words() -> None:
    logits = np.array([[3.0, 0.0], [np.nan, 1.0], [np.inf, 1.0]], np.float32)
    with pytest.raises(TrainingError, match="2 of 3 validation parts have logits"):
        fit_temperature(logits, np.array([0, 1, 0]))


def test_the_calibration_error_is_worked_out_by_hand() -> None:
    # ten at 0.95, nine right; five at 0.61, all right: (10 * 0.05 + 5 * 0.39) / 15
    rows = [[0.95, 0.05]] * 10 + [[0.39, 0.61]] * 5
    found = reliability(np.array(rows, np.float32), np.array([0] * 9 + [1] + [1] * 5))
    assert found.ece == pytest.approx((10 * 0.05 + 5 * 0.39) / 15, abs=1e-6)
    assert [each.n for each in found.bins if each.n] == [5, 10]
    assert found.bins[14].accuracy == pytest.approx(0.9)


def test_the_temperature_lowers_the_calibration_error_of_parts_it_has_not_seen() -> None:
    logits, targets = honest(4_000)
    found = fit_temperature(3 * logits[:2000], targets[:2000])
    unseen = softmax(torch.from_numpy(3 * logits[2000:]) / found.value, dim=1).numpy()
    before = reliability(at_temperature_1(unseen, found.value), targets[2000:])
    assert before.ece > 0.1
    assert reliability(unseen, targets[2000:]).ece < 0.04


def test_what_the_graph_said_without_its_temperature_can_be_had_from_what_it_says() -> None:
    logits, _ = honest(50)
    with_it = softmax(torch.from_numpy(logits) / 2.5, dim=1).numpy()
    without = softmax(torch.from_numpy(logits), dim=1).numpy()
    assert np.allclose(at_temperature_1(with_it, 2.5), without, atol=1e-5)
    sure = np.array([[1.0, 0.0]], np.float32)  # underflowed
    assert at_temperature_1(sure, 0.5)[0, 0] == pytest.approx(1.0)


def test_the_exported_graph_divides_the_logits_and_leaves_the_defect_map_alone() -> None:
    network = build("mobilenetv2_035", "none", classes=3).eval()
    pictures = torch.randint(0, 256, (4, 64, 64, 3), dtype=torch.uint8)
    models = [Exported(network, [0], 3, temperature).eval() for temperature in (1.0, 4.0)]
    for each in models:
        each.learn_map([pictures], [pictures])
    with torch.no_grad():
        (plain, plain_map), (cool, cool_map) = (each(pictures) for each in models)
        logits = network(pictures)
    assert torch.allclose(plain, softmax(logits, dim=1), atol=1e-6)
    assert torch.allclose(cool, softmax(logits / 4.0, dim=1), atol=1e-6)
    assert torch.equal(plain_map, cool_map)
