"""Inputs of the two loss functions: dtypes, extreme values, degenerate batches; and inputs that raise errors."""

import math

import pytest
import torch
import torch.nn.functional as F
from formula import LABELS, ROWS, batch, both, formula, others, scl

from hf_lcl import label_aware_contrastive_loss, supervised_contrastive_loss


@both
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_low_precision_input_gives_the_exact_loss_of_its_rounded_values(form, loss, several, dtype):
    for temperature, normalize in ((0.005, True), (0.05, False), (0.3, True), (7.0, False), (1000.0, True)):
        options = {"temperature": temperature, "normalize": normalize}
        inputs = batch(several, dtype, hidden=64)
        value = loss(*inputs, **options)
        exact_inputs = [x.detach().double().requires_grad_() if x.is_floating_point() else x for x in inputs]
        exact = formula(loss, *exact_inputs, **options)
        assert value.dtype == torch.float32
        assert value.item() == pytest.approx(exact.item(), rel=1e-5)
        value.backward()
        exact.backward()
        precision = torch.finfo(dtype)
        for rounded, precise in zip(inputs[::2], exact_inputs[::2]):
            if precise.grad is not None:
                atol = max(precision.eps, 2e-5) * precise.grad.abs().max() + precision.smallest_normal * precision.eps
                torch.testing.assert_close(rounded.grad.double(), precise.grad, rtol=0, atol=atol.item())


# Extreme values


@both
@pytest.mark.parametrize(("lowest", "highest"), [(-11, 11), (17, 37)])
def test_lengths_up_to_the_ends_of_fp32_count_nothing_where_embeddings_are_normalised(
    form, loss, several, lowest, highest
):
    """The squares of most lengths are outside the range of fp32."""
    lengths = torch.logspace(lowest, highest, len(LABELS), dtype=torch.float64).unsqueeze(1)
    embeddings, labels, logits = batch(several, torch.float32)
    scaled = (embeddings.detach().double() * lengths).float().requires_grad_()
    exact = scaled.detach().double().requires_grad_()
    value, expected = loss(scaled, labels, logits), formula(loss, exact, labels, logits)
    torch.testing.assert_close(value.double(), expected, rtol=1e-5, atol=0)
    value.backward()
    expected.backward()
    # The gradient of each row is inversely proportional to its length.
    torch.testing.assert_close(scaled.grad.double() * lengths, exact.grad * lengths, rtol=1e-4, atol=1e-6)


@both
def test_a_candidate_counts_however_far_it_is(form, loss, several):
    """The only candidate of each anchor has probability 1: the loss is 0 for any similarity."""
    embeddings = torch.tensor([[1e16], [-1e16]], requires_grad=True)
    value = loss(
        embeddings,
        torch.tensor([[1], [1]] if several else [0, 0]),
        torch.zeros(2, 1),
        normalize=False,
        temperature=1.0,
    )
    value.backward()
    assert value.item() == 0
    assert not embeddings.grad.any()


@both
def test_similarity_with_itself_may_overflow(form, loss, several):
    embeddings = torch.tensor([[1e20, 0.0], [0.0, 1e20]])
    value = loss(embeddings, torch.tensor([[1], [1]] if several else [0, 0]), torch.zeros(2, 1), normalize=False)
    assert value.item() == 0


@both
def test_loss_that_overflows_from_finite_embeddings_is_handed_out(form, loss, several):
    embeddings, labels, logits = batch(several, torch.float32)
    assert not loss(embeddings * 1e25, labels, logits, normalize=False).isfinite()


@both
def test_zero_vectors_give_the_loss_of_cosines_that_are_zero(form, loss, several):
    embeddings, labels, logits = batch(several, torch.float32)
    with torch.no_grad():
        embeddings[:4] = 0
    value = loss(embeddings, labels, logits)
    unit = F.normalize(embeddings.detach().double(), dim=1)
    expected = formula(loss, unit, labels, logits, normalize=False)
    torch.testing.assert_close(value.double(), expected, rtol=1e-5, atol=0)
    value.backward()
    assert not embeddings.grad.isnan().any()


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_class_of_weight_zero_is_as_if_its_texts_were_no_candidates(form, several, reduction):
    loss, (embeddings, labels, logits) = label_aware_contrastive_loss, batch(several)
    with torch.no_grad():
        logits[:, 3] = -torch.inf
    value = loss(embeddings, labels, logits, reduction=reduction)
    expected = formula(loss, embeddings, labels, logits, reduction=reduction)
    torch.testing.assert_close(value, expected)
    gradients = (torch.autograd.grad(each.sum(), (embeddings, logits)) for each in (value, expected))
    for ours, exact in zip(*gradients):
        torch.testing.assert_close(ours, exact)
    if reduction == "none":
        assert value[6] == 0  # its only label is 3
    if not several:
        kept = labels != 3
        expected = formula(loss, embeddings[kept], labels[kept], logits[kept], reduction=reduction)
        # The two texts of class 3 count in the mean, with a loss of 0.
        torch.testing.assert_close(*((value[kept], expected) if reduction == "none" else (value, expected * 6 / 8)))


# What is refused

FITTING = dict(zip(("embeddings", "labels", "weighting_logits"), batch(False, torch.float32, hidden=64)))


@pytest.mark.parametrize(
    ("changed", "error", "named"),
    [
        ({"embeddings": torch.zeros(10)}, ValueError, ["(batch, hidden)", "(10,)"]),
        ({"embeddings": torch.zeros(10, 3, 5)}, ValueError, ["(batch, hidden)", "(10, 3, 5)"]),
        ({"embeddings": torch.zeros(10, 5, dtype=torch.long)}, TypeError, ["floating point", "torch.int64"]),
        ({"embeddings": [[0.0]]}, TypeError, ["embeddings must be a floating point tensor", "got [[0.0]]"]),
        ({"labels": LABELS[:9]}, ValueError, ["(batch,)", "batch = 10", "(9,)"]),
        ({"labels": ROWS * 2}, ValueError, ["0 or 1 for each class", "got [2, 2, 0, 0, 0, 0] in row 0"]),
        ({"labels": ROWS / 2}, ValueError, ["0 or 1 for each class", "got [0.5, 0.5, 0.0"]),
        ({"labels": ROWS[:9]}, ValueError, ["a 0/1 tensor of shape (batch, num_labels)", "batch = 10", "(9, 6)"]),
        ({"labels": ROWS.to("meta")}, ValueError, ["labels", "device = cpu", "on meta"]),
        ({"labels": LABELS.double()}, TypeError, ["integer", "torch.float64"]),
        ({"labels": LABELS > 2}, TypeError, ["labels must be an integer tensor", "torch.bool"]),
        ({"labels": LABELS.tolist()}, TypeError, ["labels must be an integer tensor", "got [0, 1, 0"]),
        ({"labels": LABELS.to("meta")}, ValueError, ["labels", "device = cpu", "on meta"]),
        ({"labels": LABELS - 1}, ValueError, ["labels must be 0 or more", "got -1 in row 0"]),
        ({"labels": torch.tensor([0, 1, -100, *LABELS[3:]])}, ValueError, ["got -100 in row 2"]),
        ({"reduction": "avg"}, ValueError, ["'avg'", "'mean'", "'sum'", "'none'"]),
        ({"temperature": 0.0}, ValueError, ["temperature=0", "positive"]),
        ({"temperature": -0.3}, ValueError, ["temperature=-0.3", "positive"]),
        ({"temperature": math.nan}, ValueError, ["temperature=nan", "positive"]),
        ({"temperature": math.inf}, ValueError, ["temperature=inf", "finite"]),
        ({"temperature": 1e-45}, ValueError, ["temperature=1e-45", "at least 1.2e-38"]),
        ({"temperature": torch.tensor(0.0)}, ValueError, ["temperature=0", "positive"]),
        ({"temperature": torch.tensor(1e-45).double()}, ValueError, ["temperature=1.40", "at least 1.2e-38"]),
        ({"temperature": torch.tensor([0.3] * 9 + [-2.0])}, ValueError, ["temperature=-2", "positive"]),
        ({"temperature": torch.ones(3)}, ValueError, ["shape () or (batch,)", "batch = 10", "(3,)"]),
        ({"temperature": torch.tensor(1)}, ValueError, ["floating point", "torch.int64"]),
        ({"embeddings": torch.zeros(0, 5), "labels": LABELS[:0]}, ValueError, ["embeddings is empty", "(0, 5)"]),
    ],
)
def test_wrong_argument_is_named_with_what_is_allowed(changed, error, named):
    with pytest.raises(error) as caught:
        scl(**FITTING | changed)
    assert all(text in str(caught.value) for text in named), str(caught.value)


@pytest.mark.parametrize(
    ("changed", "error", "named"),
    [
        ({"weighting_logits": None}, TypeError, ["weighting_logits must be a floating point tensor", "got None"]),
        ({"weighting_logits": torch.zeros(10, 6).long()}, TypeError, ["floating point tensor"]),
        ({"weighting_logits": torch.zeros(10)}, ValueError, ["(batch, num_labels)", "batch = 10", "(10,)"]),
        ({"labels": ROWS[:, :5]}, ValueError, ["(batch, num_labels)", "num_labels = 5", "(10, 6)"]),
        ({"weighting_logits": torch.zeros(9, 6)}, ValueError, ["(batch, num_labels)", "batch = 10", "(9, 6)"]),
        ({"weighting_logits": torch.zeros(10, 0)}, ValueError, ["labels must be in [0, 0)", "have 0 columns"]),
        (
            {"weighting_logits": torch.zeros(10, 6).to("meta")},
            ValueError,
            ["device = cpu", "on meta"],
        ),
        ({"labels": LABELS + 2}, ValueError, ["labels must be in [0, 6)", "have 6 columns; got 6 in row 7"]),
        ({"labels": LABELS - 100}, ValueError, ["labels must be in [0, 6)", "got -100 in row 0"]),
        ({"labels": (LABELS + 196).to(torch.uint8)}, ValueError, ["labels must be in [0, 6)", "got 196 in row 0"]),
        ({"labels": LABELS - 1, "temperature": 0.0}, ValueError, ["temperature"]),
    ],
)
def test_wrong_argument_of_the_label_aware_loss_is_named(changed, error, named):
    with pytest.raises(error) as caught:
        label_aware_contrastive_loss(**FITTING | changed)
    assert all(text in str(caught.value) for text in named), str(caught.value)


@pytest.mark.parametrize(
    ("changed", "error", "named"),
    [
        ({"candidate_labels": None}, ValueError, ["candidate_embeddings and candidate_labels belong together"]),
        ({"candidate_embeddings": None}, ValueError, ["candidate_embeddings and candidate_labels belong together"]),
        ({"candidate_embeddings": None, "candidate_labels": None}, ValueError, ["leave out all three"]),
        (
            {"candidate_embeddings": [[0.0]]},
            TypeError,
            ["candidate_embeddings must be", "got [[0.0]]"],
        ),
        ({"candidate_embeddings": torch.zeros(10, 5).long()}, TypeError, ["candidate_embeddings", "torch.int64"]),
        ({"candidate_embeddings": torch.zeros(10, 4).double()}, ValueError, ["hidden = 5", "(10, 4)"]),
        ({"candidate_embeddings": torch.zeros(10).double()}, ValueError, ["(candidates, hidden)", "(10,)"]),
        (
            {"candidate_embeddings": torch.zeros(10, 5)},
            TypeError,
            ["dtype", "torch.float64", "got torch.float32"],
        ),
        ({"candidate_labels": LABELS[:9]}, ValueError, ["(candidates,)", "candidates = 10", "(9,)"]),
        ({"candidate_labels": LABELS.double()}, TypeError, ["candidate_labels", "integer", "torch.float64"]),
        ({"candidate_labels": LABELS.to("meta")}, ValueError, ["candidate_labels", "device = cpu", "on meta"]),
        ({"candidate_labels": LABELS - 1}, ValueError, ["candidate_labels must be 0 or more", "got -1 in row 0"]),
        ({"candidate_labels": ROWS}, ValueError, ["candidate_labels", "(candidates,)", "(10, 6)"]),
        ({"labels": ROWS}, ValueError, ["candidate_labels", "a 0/1 tensor", "(candidates, num_labels)", "(10,)"]),
        ({"labels": ROWS, "candidate_labels": ROWS[:, :5]}, ValueError, ["num_labels = 6", "(10, 5)"]),
        ({"labels": ROWS, "candidate_labels": -ROWS}, ValueError, ["candidate_labels must be 0 or 1", "-1"]),
        (
            {"labels": ROWS, "candidate_labels": ROWS.roll(1, dims=0)},
            ValueError,
            ["anchor 0 is candidate 0", "are [1, 1, 0, 0, 0, 0] and [0, 1, 0, 0, 1, 0]"],
        ),
        ({"anchor_positions": torch.arange(9)}, ValueError, ["anchor_positions", "batch = 10", "(9,)"]),
        ({"anchor_positions": torch.ones(10)}, TypeError, ["anchor_positions", "integer", "torch.float32"]),
        ({"anchor_positions": torch.arange(10) + 1}, ValueError, ["[0, 10)", "10 candidates", "got 10 in row 9"]),
        ({"anchor_positions": torch.arange(10) - 1}, ValueError, ["[0, 10)", "got -1 in row 0"]),
        ({"anchor_positions": torch.zeros(10).long()}, ValueError, ["anchor 1 is candidate 0", "are 1 and 0"]),
    ],
)
def test_candidates_that_do_not_fit_are_named_with_what_is_allowed(changed, error, named):
    embeddings, labels, _ = batch(several=False)
    fitting = {
        "labels": labels,
        "candidate_embeddings": embeddings,
        "candidate_labels": labels,
        "anchor_positions": torch.arange(len(labels)),
    }
    with pytest.raises(error) as caught:
        supervised_contrastive_loss(embeddings, **fitting | changed)
    assert all(text in str(caught.value) for text in named), str(caught.value)


def test_label_of_a_candidate_without_a_column_and_no_candidates_are_named():
    embeddings, labels, logits = batch(several=False)
    past, past_labels = others(several=False)
    for candidates, named in (
        ((past, past_labels), r"candidate_labels must be in \[0, 5\), because weighting_logits have 5 columns"),
        ((past[:0], past_labels[:0]), r"candidate_embeddings is empty, of shape \(0, 5\)"),
    ):
        options = dict(zip(("candidate_embeddings", "candidate_labels"), candidates))
        with pytest.raises(ValueError, match=named):
            label_aware_contrastive_loss(embeddings, labels, logits[:, :5], **options)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    ("rows", "named"),
    [([3], r"in 1 of 10 rows \(3\)"), ([0, 1, 2, 4, 5, 6], r"in 6 of 10 rows \(0, 1, 2, 4, 5, ...\)")],
    ids=["one", "many"],
)
def test_rows_with_nan_or_infinity_are_named(rows, named, value):
    embeddings, labels, _ = batch(False, torch.float32)
    with torch.no_grad():
        embeddings[rows, 2] = value
    with pytest.raises(ValueError, match="embeddings holds NaN or infinity " + named):
        supervised_contrastive_loss(embeddings, labels)


def test_rows_of_weighting_logits_and_of_candidates_with_nan_are_named():
    embeddings, labels, logits = batch(several=False)
    past, past_labels = others(several=False)
    with torch.no_grad():
        past[4, 2] = logits[8, 0] = math.nan
    with pytest.raises(ValueError, match=r"weighting_logits holds NaN or infinity in 1 of 10 rows \(8\)"):
        label_aware_contrastive_loss(embeddings, labels, logits)
    with pytest.raises(ValueError, match=r"candidate_embeddings holds NaN or infinity in 1 of 7 rows \(4\)"):
        supervised_contrastive_loss(embeddings, labels, candidate_embeddings=past, candidate_labels=past_labels)
