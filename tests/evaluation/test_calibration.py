"""Temperature scaling calibrates the probabilities, keeps the predictions, and can be folded into a model."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings, strategies
from scipy.special import log_softmax
from tiny_architectures import EVERY_ARCHITECTURE, tiny_wrapper

from hf_lcl.evaluation import expected_calibration_error, fit_temperature, fold_temperature, reliability_bins


def sample(rows: int, classes: int, sharpness: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from the softmax of some logits, and those logits times `sharpness`."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(rows, classes)) * 2
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    return logits * sharpness, labels


@pytest.mark.parametrize("sharpness", [0.25, 1.0, 3.0])
def test_the_temperature_undoes_what_made_a_classifier_too_sure(sharpness):
    logits, labels = sample(20_000, 5, sharpness)
    temperature = fit_temperature(logits, labels)
    assert temperature == pytest.approx(sharpness, rel=0.03)
    after = expected_calibration_error(logits, labels, temperature)
    assert after < 0.01
    if sharpness != 1:
        assert expected_calibration_error(logits, labels) > 5 * after


@settings(max_examples=15, deadline=None)
@given(
    rows=strategies.integers(2, 40),
    classes=strategies.integers(2, 8),
    sharpness=strategies.floats(0.1, 10),
    seed=strategies.integers(0, 10_000),
)
def test_no_other_temperature_has_a_lower_cross_entropy(rows, classes, sharpness, seed):
    logits, labels = sample(rows, classes, sharpness, seed)
    assume((logits.argmax(axis=1) != labels).any())

    def cross_entropy(temperature):
        return -log_softmax(logits / temperature, axis=1)[np.arange(rows), labels].mean()

    best = min(map(cross_entropy, np.geomspace(0.01, 100, 200)))
    assert cross_entropy(fit_temperature(logits, labels)) <= best + 1e-5


def test_texts_that_are_all_classified_correctly_or_all_alike_tell_no_temperature():
    assert fit_temperature(np.eye(3) * 4, np.arange(3)) == 1.0
    assert fit_temperature(np.zeros((3, 3)), np.arange(3)) == 1.0
    unsure = np.append(np.full(98, 0.5), -0.5)[:, None] * [1, -1]
    assert fit_temperature(unsure, np.zeros(99, dtype=int)) == pytest.approx(1 / np.log(98), rel=1e-3)


def test_the_bins_hold_every_text_once_where_its_confidence_is():
    logits, labels = sample(500, 4, 1.0)
    bins = reliability_bins(logits, labels, bins=10)
    assert bins.counts.sum() == 500
    filled = bins.counts > 0
    assert (bins.edges[:-1][filled] <= bins.confidence[filled]).all()
    assert (bins.confidence[filled] <= bins.edges[1:][filled]).all()
    right = (logits.argmax(axis=1) == labels).mean()
    assert np.average(bins.accuracy[filled], weights=bins.counts[filled]) == pytest.approx(right)
    assert np.isnan(bins.accuracy[~filled]).all()


def test_the_calibration_error_is_the_textbooks():
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.58, 0.42], [0.55, 0.45]])
    labels = np.array([0, 1, 0, 1])
    # Two texts in the bin up to 1 (accuracy 0.5, confidence 0.9), and two in that up to 0.6 (0.5 and 0.565).
    expected = 0.5 * 0.4 + 0.5 * 0.065
    assert expected_calibration_error(np.log(probabilities), labels, bins=5) == pytest.approx(expected)
    assert expected_calibration_error(np.eye(2) * 1000, np.arange(2)) == 0.0


def test_a_bin_counts_as_much_as_it_has_texts():
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.55, 0.45]])
    # Three texts of which two are right (off by 0.9 - 2/3), and one that is wrong (off by 0.55).
    expected = 3 / 4 * (0.9 - 2 / 3) + 1 / 4 * 0.55
    assert expected_calibration_error(np.log(probabilities), np.array([0, 0, 1, 1]), bins=5) == pytest.approx(expected)


def test_no_texts_are_refused():
    with pytest.raises(ValueError, match="no texts"):
        fit_temperature(np.zeros((0, 3)), np.zeros(0, dtype=int))
    with pytest.raises(ValueError, match="no texts"):
        reliability_bins(np.zeros((0, 3)), np.zeros(0, dtype=int))


@pytest.mark.parametrize("name", EVERY_ARCHITECTURE)
def test_a_folded_classifier_gives_the_divided_logits(name):
    model, inputs = tiny_wrapper(name)
    native = model.to_sequence_classifier()
    with torch.no_grad():
        # Biases of a new layer are zero, which would hide that they are not scaled.
        for module in native.modules():
            if isinstance(module, torch.nn.Linear) and module.bias is not None:
                module.bias.normal_()
        before = native(**inputs).logits
        fold_temperature(native, 1.7)
        after = native(**inputs).logits
    torch.testing.assert_close(after, before / 1.7)
    assert torch.equal(after.argmax(dim=1), before.argmax(dim=1))


def test_a_classifier_without_such_a_layer_is_refused_and_left_alone(bert):
    bert.classifier = torch.nn.Sequential(torch.nn.Linear(32, 3), torch.nn.Tanh())
    before = {name: tensor.clone() for name, tensor in bert.state_dict().items()}
    with pytest.raises(ValueError, match="no linear layer with 4 outputs"):
        fold_temperature(bert, 2.0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in bert.state_dict().items())


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_a_temperature_that_is_not_positive_is_refused(bert, temperature):
    with pytest.raises(ValueError, match="must be positive"):
        fold_temperature(bert, temperature)
