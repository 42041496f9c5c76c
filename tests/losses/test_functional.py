"""The two loss functions compared with the documented formulas, finite differences and closed forms."""

import math

import pytest
import torch
from formula import ALONE, LABELS, batch, both, formula, others, scl
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import one_hot

from hf_lcl import label_aware_contrastive_loss, supervised_contrastive_loss


@both
@settings(max_examples=70, deadline=None, derandomize=True, database=None)
@given(
    several=st.booleans(),
    labels=st.lists(st.integers(0, 31), min_size=1, max_size=10),
    other_labels=st.lists(st.integers(0, 31), max_size=4),
    candidates=st.sampled_from(["batch", "others", "both"]),
    hidden=st.integers(1, 6),
    spare_classes=st.integers(0, 2),
    duplicates=st.integers(0, 3),
    temperature=st.sampled_from([0.07, 0.3, 10.0, "tensor", "per anchor"]),
    normalize=st.booleans(),
    reduction=st.sampled_from(["mean", "sum", "none"]),
    gradients=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_value_and_gradients_are_those_of_the_formula(
    form,
    loss,
    several,
    labels,
    other_labels,
    candidates,
    hidden,
    spare_classes,
    duplicates,
    temperature,
    normalize,
    reduction,
    gradients,
    seed,
):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    labels, other_labels = torch.tensor(labels), torch.tensor(other_labels, dtype=torch.long)
    if several:  # each bit is a label
        num_labels = 5 + spare_classes
        labels, other_labels = (x.unsqueeze(1) >> torch.arange(num_labels) & 1 for x in (labels, other_labels))
    else:
        labels, other_labels = labels % 5, other_labels % 5
        num_labels = max([*labels.tolist(), *other_labels.tolist()]) + 1 + spare_classes
    texts = draw(len(labels) + len(other_labels), hidden)
    texts += 0.1 * texts.sign()  # not too short, since normalisation would amplify rounding errors
    texts[len(labels) - duplicates : len(labels)] = texts[0].clone()
    tensors = [texts[: len(labels)], texts[len(labels) :], draw(len(labels), num_labels)]
    if isinstance(temperature, str):
        tensors.append(0.2 + torch.rand(len(labels) if "per" in temperature else (), generator=generator).double())
    upstream, order = draw(len(labels)), torch.randperm(len(texts), generator=generator)

    def value_and_gradients(function):
        leaves = [x.clone().requires_grad_(gradients) for x in tensors]
        h, c, z = leaves[:3]
        more = {"temperature": leaves[3] if len(leaves) == 4 else temperature}
        if candidates == "others" and len(other_labels):
            more |= {"candidate_embeddings": c, "candidate_labels": other_labels}
        elif candidates == "both":
            more |= {
                "candidate_embeddings": torch.cat([h, c])[order],
                "candidate_labels": torch.cat([labels, other_labels])[order],
                "anchor_positions": order.argsort()[: len(labels)],
            }
        value = function(h, labels, z, normalize=normalize, reduction=reduction, **more)
        if not gradients:
            return (value,)
        total = (value * upstream).sum()
        return value.detach(), *torch.autograd.grad(total, leaves, allow_unused=True, materialize_grads=True)

    for ours, expected in zip(value_and_gradients(loss), value_and_gradients(lambda *a, **k: formula(loss, *a, **k))):
        scale = expected.abs().max().item() if expected.numel() else 0
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-9 * scale + 1e-12)


@both
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_gradient_is_that_of_finite_differences(form, loss, several, reduction):
    embeddings, labels, logits = batch(several)
    past, past_labels = others(several)
    rows = torch.tensor([5, 1, 3])
    temperature = torch.tensor([0.4, 0.3, 0.7], dtype=torch.float64, requires_grad=True)

    def function(h, c, z, temperature):
        return loss(
            h,
            labels[rows],
            z,
            temperature=temperature,
            reduction=reduction,
            candidate_embeddings=c,
            candidate_labels=torch.cat([labels, past_labels]),
            anchor_positions=rows,
        )

    candidates = torch.cat([embeddings, past]).detach().requires_grad_()
    inputs = (embeddings[rows].detach().requires_grad_(), candidates, logits[rows].detach().requires_grad_())
    assert torch.autograd.gradcheck(function, (*inputs, temperature), fast_mode=True)
    for normalize in (True, False):
        alone = [x.detach().requires_grad_() for x in (embeddings, logits)]

        def of_batch(h, z, normalize=normalize):
            return loss(h, labels, z, normalize=normalize, reduction=reduction)

        assert torch.autograd.gradcheck(of_batch, alone, fast_mode=True)


@both
def test_value_without_gradients_is_that_of_the_formula(form, loss, several):
    for reduction in ("mean", "sum", "none"):
        with torch.no_grad():
            ours = loss(*batch(several), reduction=reduction)
        torch.testing.assert_close(ours, formula(loss, *batch(several), reduction=reduction).detach())


def test_detached_weights_change_the_gradient_and_not_the_value(several):
    embeddings, labels, logits = batch(several)
    detached = label_aware_contrastive_loss(embeddings, labels, logits, detach_weights=True)
    expected = formula(label_aware_contrastive_loss, embeddings, labels, logits.detach())
    torch.testing.assert_close(detached, expected)
    ours = torch.autograd.grad(detached, (embeddings, logits), allow_unused=True)
    torch.testing.assert_close(ours[0], torch.autograd.grad(expected, embeddings)[0])
    assert ours[1] is None


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_with_equal_weights_lcl_is_scl_up_to_a_constant(several, reduction):
    embeddings, labels, logits = batch(several)
    lcl = label_aware_contrastive_loss(embeddings, labels, torch.zeros_like(logits), reduction=reduction)
    expected = (formula(scl, embeddings, labels, logits, reduction=reduction) - math.log(6)) / 6
    if reduction == "none":
        expected[ALONE] = 0
    torch.testing.assert_close(lcl, expected)


@both
def test_numbering_of_the_classes_is_of_no_account(form, loss, several):
    embeddings, labels, logits = batch(several)
    new_id = torch.tensor([4, 0, 5, 2, 1, 3])
    relabelled = labels[:, new_id.argsort()] if several else new_id[labels]
    ours = loss(embeddings, relabelled, logits[:, new_id.argsort()])
    torch.testing.assert_close(ours, formula(loss, embeddings, labels, logits))


@both
def test_text_alone_in_its_class_counts_zero_and_is_a_negative_of_the_others(loss, several):
    embeddings, labels, logits = batch(several)
    per_anchor = loss(embeddings, labels, logits, reduction="none")
    assert per_anchor[ALONE].tolist() == [0, 0]
    mean = loss(embeddings, labels, logits)
    torch.testing.assert_close(mean, per_anchor.sum() / 8)
    mean.backward()
    assert (embeddings.grad[ALONE].abs().sum(dim=1) > 0).all()


@both
def test_text_alone_in_its_batch_has_a_zero_gradient_under_a_gradient_scaler(form, loss, several):
    embeddings = torch.randn(1, 4, requires_grad=True)
    logits = torch.randn(1, 3, requires_grad=True)
    value = loss(embeddings, torch.tensor([[0, 1, 1]] if several else [2]), logits)
    (value * 2.0**24).backward()
    assert value.item() == 0
    assert not embeddings.grad.any()
    assert logits.grad is None or not logits.grad.any()


@both
def test_anchors_of_a_process_without_texts_give_zero(form, loss, several):
    past, past_labels = others(several)
    embeddings, labels, logits = (x[:0] for x in batch(several))
    candidates = {"candidate_embeddings": past, "candidate_labels": past_labels, "anchor_positions": torch.arange(0)}
    value = loss(embeddings, labels, logits, **candidates)
    value.backward()
    assert value.item() == 0
    assert not past.grad.any()


@both
def test_candidates_of_no_anchors_class_give_zero_loss_and_zero_gradients(form, loss, several):
    embeddings, labels, logits = batch(several)
    past, past_labels = others(several)[0], torch.full((7,), 5)
    past_labels = one_hot(past_labels, 6) if several else past_labels
    value = loss(embeddings, labels, logits, candidate_embeddings=past, candidate_labels=past_labels)
    value.backward()
    assert value.item() == 0
    assert not embeddings.grad.any()
    assert not past.grad.any()


def test_infimum_with_one_positive_per_anchor_is_minus_one_over_e():
    """With the other weight on a class that is not in the batch, the loss is w log w, with its minimum at w = 1/e."""
    own = torch.tensor([0, 0, 1, 1])
    embeddings = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]], dtype=torch.float64)
    for w in (0.2, 1 / math.e, 0.6):
        logits = torch.full((4, 3), -60.0, dtype=torch.float64)
        logits[torch.arange(4), own] = math.log(w)
        logits[:, 2] = math.log(1 - w)
        value = label_aware_contrastive_loss(embeddings, own, logits).item()
        assert value == pytest.approx(w * math.log(w), abs=1e-9)
        assert value >= -1 / math.e - 1e-12


def test_two_pairs_of_texts_have_the_loss_of_their_angles():
    """One positive at similarity 1 and two negatives at 0: log(1 + 2 exp(-1 / tau))."""
    embeddings = torch.tensor([[3.0, 0.0], [0.5, 0.0], [0.0, 2.0], [0.0, 7.0]])
    value = supervised_contrastive_loss(embeddings, torch.tensor([4, 4, 0, 0]), temperature=0.7)
    assert value.item() == pytest.approx(math.log(1 + 2 * math.exp(-1 / 0.7)), rel=1e-6)


def test_each_anchor_may_have_its_own_temperature():
    embeddings = torch.tensor([[3.0, 0.0], [0.5, 0.0], [0.0, 2.0], [0.0, 7.0]])
    temperature = torch.tensor([0.2, 0.5, 1.0, 3.0])
    value = supervised_contrastive_loss(
        embeddings, torch.tensor([4, 4, 0, 0]), temperature=temperature, reduction="none"
    )
    torch.testing.assert_close(value, torch.log(1 + 2 * torch.exp(-1 / temperature)))


def test_labels_of_the_supervised_loss_may_be_any_ids(form):
    embeddings, labels, logits = batch(several=False)
    far_apart = torch.tensor([0, 7, 2**40])
    for kind in (torch.int64, torch.int32, torch.uint8):
        ids = (far_apart if kind is torch.int64 else far_apart % 251)[labels.clamp(max=2)].to(kind)
        expected = formula(scl, embeddings, labels.clamp(max=2), logits)
        torch.testing.assert_close(supervised_contrastive_loss(embeddings, ids), expected)
    assert LABELS.max() == 4


@both
@pytest.mark.parametrize("dtype", [torch.int32, torch.uint8], ids=str)
def test_labels_and_positions_may_be_of_any_integer_type(loss, several, dtype):
    embeddings, labels, logits = batch(several)
    past, past_labels = others(several)
    candidates = {
        "candidate_embeddings": torch.cat([past, embeddings]),
        "candidate_labels": torch.cat([past_labels, labels]),
        "anchor_positions": 7 + torch.arange(len(labels)),
    }
    narrow = {k: v if v.is_floating_point() else v.to(dtype) for k, v in candidates.items()}
    ours = loss(embeddings, labels.to(dtype), logits, **narrow)
    torch.testing.assert_close(ours, formula(loss, embeddings, labels, logits, **candidates))


# Several labels


@both
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_one_label_each_gives_the_loss_of_classes(form, loss, reduction):
    embeddings, labels, logits = batch(several=False)
    rows, found = one_hot(labels, 6), []
    for given_labels in (labels, rows, rows.bool(), rows.float()):
        value = loss(embeddings, given_labels, logits, reduction=reduction)
        found.append((value.detach(), torch.autograd.grad((value * embeddings[:, 0].detach()).sum(), embeddings)[0]))
    for other in found[1:]:
        for ours, expected in zip(other, found[0]):
            if loss is scl and form == "direct":
                assert torch.equal(ours, expected)
            torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-14)


@both
def test_label_without_another_text_is_left_out(loss):
    embeddings, labels, logits = batch(several=True)
    without = labels.clone()
    without[9, 4] = 0  # the only text of label 4; it also has another label
    values = [loss(embeddings, each, torch.zeros_like(logits), reduction="none") for each in (labels, without)]
    torch.testing.assert_close(*values)
