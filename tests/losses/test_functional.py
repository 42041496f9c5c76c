"""The two loss functions in float64: against the printed formula, their gradients, identities and edges."""

import math

import pytest
import torch
from formula import contrastive_loss
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hf_lcl import label_aware_contrastive_loss, supervised_contrastive_loss


pytestmark = pytest.mark.usefixtures("form")

# Class 2 and class 4 have one text each, class 5 none.
LABELS = torch.tensor([0, 1, 0, 2, 1, 0, 3, 4, 3, 1])
ALONE = torch.tensor([3, 7])
INSIDE, BY_POSITIVES = {"weight_placement": "inside"}, {"temperature_scaling": "positives"}
VARIANTS = [{}, INSIDE, BY_POSITIVES, INSIDE | BY_POSITIVES]


def scl(embeddings: Tensor, labels: Tensor, weighting_logits: Tensor, **options) -> Tensor:
    """The supervised loss under the other's signature, so that a test can run on both."""
    options.pop("weight_placement", None)
    return supervised_contrastive_loss(embeddings, labels, **options)


both = pytest.mark.parametrize("loss", [scl, label_aware_contrastive_loss], ids=["scl", "lcl"])


def batch() -> tuple[Tensor, Tensor, Tensor]:
    """Embeddings, `LABELS` and weighting logits, the same ones in every test."""
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.randn(len(LABELS), 5, generator=generator, dtype=torch.float64, requires_grad=True)
    weighting_logits = torch.randn(len(LABELS), 6, generator=generator, dtype=torch.float64, requires_grad=True)
    return embeddings, LABELS, weighting_logits


@both
@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(
    labels=st.lists(st.integers(0, 4), min_size=1, max_size=12),
    others=st.lists(st.integers(0, 4), max_size=5),
    candidates=st.sampled_from(["batch", "others", "both"]),
    hidden=st.integers(1, 6),
    spare_classes=st.integers(0, 2),
    duplicates=st.integers(0, 3),
    temperature=st.sampled_from([0.07, 0.3, 1.0, 10.0]),
    normalize=st.booleans(),
    reduction=st.sampled_from(["mean", "sum", "none"]),
    weight_placement=st.sampled_from(["outside", "inside"]),
    temperature_scaling=st.sampled_from(["none", "positives"]),
    seed=st.integers(0, 1000),
)
def test_value_and_gradients_are_those_of_the_formula(
    loss,
    labels,
    others,
    candidates,
    hidden,
    spare_classes,
    duplicates,
    temperature,
    normalize,
    reduction,
    weight_placement,
    temperature_scaling,
    seed,
):
    generator = torch.Generator().manual_seed(seed)
    labels, other_labels = torch.tensor(labels), torch.tensor(others, dtype=torch.long)
    texts = torch.randn(len(labels) + len(others), hidden, generator=generator, dtype=torch.float64)
    texts += 0.1 * texts.sign()  # not too short: to normalise divides by the length, and multiplies rounding errors
    texts[len(labels) - duplicates : len(labels)] = texts[0].clone()
    num_labels = max(labels.max().item(), *others, 0) + 1 + spare_classes
    logits = torch.randn(len(labels), num_labels, generator=generator, dtype=torch.float64)
    upstream = torch.randn(len(labels), generator=generator, dtype=torch.float64)
    options = {
        "temperature": temperature,
        "normalize": normalize,
        "reduction": reduction,
        "weight_placement": weight_placement,
        "temperature_scaling": temperature_scaling,
    }
    order = torch.randperm(len(texts), generator=generator)

    def value_and_gradients(function):
        leaves = [x.clone().requires_grad_() for x in (texts[: len(labels)], texts[len(labels) :], logits)]
        embeddings, other_embeddings, weighting_logits = leaves
        more = {}
        if candidates == "others" and others:
            more = {"candidate_embeddings": other_embeddings, "candidate_labels": other_labels}
        elif candidates == "both":
            more = {
                "candidate_embeddings": torch.cat([embeddings, other_embeddings])[order],
                "candidate_labels": torch.cat([labels, other_labels])[order],
                "anchor_positions": order.argsort()[: len(labels)],
            }
        value = function(embeddings, labels, weighting_logits, **options, **more)
        gradients = torch.autograd.grad((value * upstream).sum(), leaves, allow_unused=True, materialize_grads=True)
        return value.detach(), *gradients

    def formula(embeddings, labels, weighting_logits, **options):
        return contrastive_loss(embeddings, labels, None if loss is scl else weighting_logits, **options)

    for ours, expected in zip(value_and_gradients(loss), value_and_gradients(formula)):
        scale = expected.abs().max().item() if expected.numel() else 0
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-9 * scale + 1e-12)


@both
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_gradient_is_that_of_finite_differences(loss, normalize, reduction, variant):
    embeddings, labels, logits = batch()
    options = {"normalize": normalize, "reduction": reduction} | variant
    assert torch.autograd.gradcheck(lambda h, z: loss(h, labels, z, **options), (embeddings, logits))


def test_detached_weights_change_the_gradient_and_not_the_value():
    embeddings, labels, logits = batch()
    detached = label_aware_contrastive_loss(embeddings, labels, logits, detach_weights=True)
    assert detached.item() == label_aware_contrastive_loss(embeddings, labels, logits).item()
    gradients = torch.autograd.grad(detached, (embeddings, logits), allow_unused=True)
    assert gradients[0].abs().sum() > 0
    assert gradients[1] is None


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_with_equal_weights_lcl_is_scl_up_to_a_constant(reduction):
    embeddings, labels, logits = batch()
    lcl = label_aware_contrastive_loss(embeddings, labels, torch.zeros_like(logits), reduction=reduction)
    expected = (supervised_contrastive_loss(embeddings, labels, reduction=reduction) - math.log(6)) / 6
    if reduction == "none":
        expected[ALONE] = 0
    torch.testing.assert_close(lcl, expected)


@both
def test_order_of_the_texts_is_of_no_account(loss):
    embeddings, labels, logits = batch()
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(1))
    permuted = loss(embeddings[order], labels[order], logits[order], reduction="none")
    torch.testing.assert_close(permuted, loss(embeddings, labels, logits, reduction="none")[order])


@both
def test_numbering_of_the_classes_is_of_no_account(loss):
    embeddings, labels, logits = batch()
    new_id = torch.tensor([4, 0, 5, 2, 1, 3])
    relabelled = loss(embeddings, new_id[labels], logits[:, new_id.argsort()])
    torch.testing.assert_close(relabelled, loss(embeddings, labels, logits))


@both
def test_length_of_normalised_embeddings_is_of_no_account(loss):
    embeddings, labels, logits = batch()
    lengths = torch.logspace(-3, 3, len(labels), dtype=torch.float64).unsqueeze(1)
    torch.testing.assert_close(loss(embeddings * lengths, labels, logits), loss(embeddings, labels, logits))


@both
def test_length_of_embeddings_counts_without_normalisation(loss):
    embeddings, labels, logits = batch()
    tenfold = loss(embeddings * 10, labels, logits, normalize=False, temperature=100.0)
    torch.testing.assert_close(tenfold, loss(embeddings, labels, logits, normalize=False, temperature=1.0))
    assert not torch.isclose(tenfold, loss(embeddings, labels, logits, normalize=False, temperature=100.0))


@both
def test_text_alone_in_its_class_counts_zero_and_is_left_out_of_the_mean(loss):
    embeddings, labels, logits = batch()
    per_anchor = loss(embeddings, labels, logits, reduction="none")
    assert per_anchor[ALONE].tolist() == [0, 0]
    torch.testing.assert_close(loss(embeddings, labels, logits), per_anchor.sum() / 8)
    torch.testing.assert_close(loss(embeddings, labels, logits, reduction="sum"), per_anchor.sum())


@both
def test_text_alone_in_its_class_is_a_negative_of_the_others(loss):
    embeddings, labels, logits = batch()
    loss(embeddings, labels, logits).backward()
    assert (embeddings.grad[ALONE].abs().sum(dim=1) > 0).all()


@both
def test_batch_of_one_class_has_no_negatives_and_still_a_loss(loss):
    embeddings, _, logits = batch()
    labels = torch.zeros_like(LABELS)
    expected = contrastive_loss(embeddings, labels, None if loss is scl else logits)
    torch.testing.assert_close(loss(embeddings, labels, logits), expected)


def test_infimum_with_one_positive_per_anchor_is_minus_one_over_e():
    labels = torch.tensor([0, 0, 1, 1])
    embeddings = torch.randn(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    # Weight can go to a class that is not in the batch.
    logits = torch.zeros(4, 3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.3)
    values = []
    for _ in range(300):
        optimizer.zero_grad()
        values.append(label_aware_contrastive_loss(embeddings, labels, logits))
        values[-1].backward()
        optimizer.step()
    lowest = min(value.item() for value in values)
    assert -1 / math.e - 1e-12 <= lowest < -1 / math.e + 1e-3


# Variants in print


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_with_equal_weights_lcl_with_the_weight_inside_is_scl(reduction):
    embeddings, labels, logits = batch()
    lcl = label_aware_contrastive_loss(embeddings, labels, torch.zeros_like(logits), reduction=reduction, **INSIDE)
    torch.testing.assert_close(lcl, supervised_contrastive_loss(embeddings, labels, reduction=reduction))


@pytest.mark.parametrize("scale", [1.0, 10.0, 1000.0])
def test_lcl_with_the_weight_inside_is_never_negative(scale):
    embeddings, labels, logits = batch()
    options = {"temperature": 0.05, "reduction": "none"}
    outside = label_aware_contrastive_loss(embeddings, labels, logits * scale, **options)
    inside = label_aware_contrastive_loss(embeddings, labels, logits * scale, **options, **INSIDE)
    assert inside.isfinite().all()
    assert inside.min() > -1e-12
    # With R for the mean logarithm without weights before it, outside is w R and inside R - log w.
    log_w = (logits * scale).log_softmax(dim=1).gather(1, labels.unsqueeze(1)).squeeze(1)
    expected = log_w.exp() * (inside + log_w)
    expected[ALONE] = 0
    torch.testing.assert_close(outside, expected)


def test_detached_weights_inside_leave_the_weighting_network_alone():
    embeddings, labels, logits = batch()
    label_aware_contrastive_loss(embeddings, labels, logits, detach_weights=True, **INSIDE).backward()
    assert embeddings.grad.abs().sum() > 0
    assert logits.grad is None


@both
def test_temperature_scaled_by_positives_is_that_temperature_where_all_have_as_many(loss):
    embeddings, _, logits = batch()
    embeddings, logits, labels = embeddings[:9], logits[:9], torch.tensor([0, 1, 2]).repeat(3)
    scaled = loss(embeddings, labels, logits, temperature=0.1, **BY_POSITIVES)
    torch.testing.assert_close(scaled, loss(embeddings, labels, logits, temperature=0.2))
    assert not torch.isclose(scaled, loss(embeddings, labels, logits, temperature=0.1))


@both
def test_temperature_scaled_by_positives_counts_those_among_the_candidates(loss):
    embeddings, labels, logits = batch()
    others = torch.randn(12, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    candidates = {"candidate_embeddings": others, "candidate_labels": torch.tensor([0, 1, 2, 3] * 3)}
    scaled = loss(embeddings, labels, logits, reduction="none", **candidates, **BY_POSITIVES)
    expected = loss(embeddings, labels, logits, reduction="none", temperature=0.9, **candidates)
    torch.testing.assert_close(scaled, expected)


@both
@pytest.mark.parametrize("variant", VARIANTS[1:], ids=str)
def test_variants_without_normalisation_at_temperature_ten(loss, variant):
    """Long embeddings as an encoder gives them: dot products of some hundreds."""
    options = {"temperature": 10.0, "normalize": False} | variant
    values = []
    for function in (loss, contrastive_loss):
        embeddings, labels, logits = batch()
        inputs = (embeddings * 15, labels, None if function is contrastive_loss and loss is scl else logits)
        value = function(*inputs, **options)
        values.append((value, *torch.autograd.grad(value, embeddings)))
    torch.testing.assert_close(*values, rtol=1e-9, atol=1e-12)
