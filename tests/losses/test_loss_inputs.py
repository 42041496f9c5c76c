"""What the two loss functions take: floating dtypes, autocast, degenerate batches; and what they refuse."""

import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from hf_lcl import label_aware_contrastive_loss, supervised_contrastive_loss


pytestmark = pytest.mark.usefixtures("form")

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
LABELS = torch.tensor([0, 1, 0, 2, 1, 0, 3, 4, 3, 1])


def scl(embeddings: Tensor, labels: Tensor, weighting_logits: Tensor, **options) -> Tensor:
    """The supervised loss under the other's signature, so that a test can run on both."""
    return supervised_contrastive_loss(embeddings, labels, **options)


both = pytest.mark.parametrize("loss", [scl, label_aware_contrastive_loss], ids=["scl", "lcl"])


def batch(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    """Embeddings, nearly orthogonal to each other, `LABELS` and weighting logits, the same ones in every test."""
    generator = torch.Generator().manual_seed(0)
    embeddings, weighting_logits = (torch.randn(len(LABELS), n, generator=generator).to(dtype) for n in (64, 6))
    return embeddings.requires_grad_(), LABELS, weighting_logits.requires_grad_()


@pytest.mark.parametrize(
    "loss",
    [scl, label_aware_contrastive_loss, partial(label_aware_contrastive_loss, weight_placement="inside")],
    ids=["scl", "lcl", "lcl inside"],
)
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("temperature", [0.005, 0.05, 0.3, 7.0, 1000.0])
def test_low_precision_input_gives_the_exact_loss_of_its_rounded_values(loss, temperature, dtype, normalize):
    embeddings, labels, logits = batch(dtype)
    options = {"temperature": temperature, "normalize": normalize}
    value = loss(embeddings, labels, logits, **options)
    exact_inputs = [x.detach().double().requires_grad_() for x in (embeddings, logits)]
    exact = loss(exact_inputs[0], labels, exact_inputs[1], **options)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(exact.item(), rel=1e-5)
    value.backward()
    exact.backward()
    precision = torch.finfo(dtype)
    for rounded, precise in zip((embeddings, logits), exact_inputs):
        if precise.grad is not None:
            atol = max(precision.eps, 2e-5) * precise.grad.abs().max() + precision.smallest_normal * precision.eps
            torch.testing.assert_close(rounded.grad.double(), precise.grad, rtol=0, atol=atol.item())


@both
@pytest.mark.parametrize("dtype", DTYPES)
def test_autocast_changes_neither_loss_nor_gradient(loss, dtype):
    inputs, cast_inputs = batch(dtype), batch(dtype)
    value = loss(*inputs)
    with torch.autocast("cpu", torch.bfloat16):
        cast = loss(*cast_inputs)
    assert (cast.item(), cast.dtype) == (value.item(), torch.float32)
    value.backward()
    cast.backward()
    assert torch.equal(cast_inputs[0].grad, inputs[0].grad)
    assert loss is scl or torch.equal(cast_inputs[2].grad, inputs[2].grad)


@both
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("zeros", [1, 10])
def test_zero_vectors_give_no_nan(loss, zeros, dtype):
    embeddings, labels, logits = batch(dtype)
    with torch.no_grad():
        embeddings[:zeros] = 0
    value = loss(embeddings, labels, logits, temperature=0.05)
    value.backward()
    assert value.isfinite()
    assert not embeddings.grad.isnan().any()


@both
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("labels", [[0, 1, 2, 3, 4, 5], [3]], ids=["all alone", "one text"])
def test_batch_without_positives_gives_zero_loss_and_zero_gradients(loss, labels, dtype):
    embeddings = torch.randn(len(labels), 8, dtype=dtype, requires_grad=True)
    logits = torch.randn(len(labels), 6, dtype=dtype, requires_grad=True)
    value = loss(embeddings, torch.tensor(labels), logits, temperature=0.005)
    assert value.item() == 0
    value.backward()
    assert embeddings.grad.tolist() == torch.zeros_like(embeddings).tolist()
    assert logits.grad is None or logits.grad.tolist() == torch.zeros_like(logits).tolist()


@both
@pytest.mark.parametrize("dtype", [torch.int32, torch.int16, torch.uint8], ids=str)
def test_labels_may_be_of_any_integer_type(loss, dtype):
    embeddings, labels, logits = batch()
    assert torch.equal(loss(embeddings, labels.to(dtype), logits), loss(embeddings, labels, logits))


@both
@pytest.mark.parametrize(
    ("changed", "error", "named"),
    [
        ({"embeddings": torch.zeros(10)}, ValueError, ["(batch, hidden)", "(10,)"]),
        ({"embeddings": torch.zeros(10, 3, 5)}, ValueError, ["(batch, hidden)", "(10, 3, 5)"]),
        ({"embeddings": torch.zeros(10, 5, dtype=torch.long)}, TypeError, ["floating point", "torch.int64"]),
        ({"labels": LABELS[:9]}, ValueError, ["(batch,)", "(10, 64)", "(9,)"]),
        ({"labels": F.one_hot(LABELS)}, ValueError, ["(batch,)", "(10, 64)", "(10, 5)"]),
        ({"labels": LABELS.double()}, TypeError, ["integers", "torch.float64"]),
        ({"labels": LABELS.tolist()}, TypeError, ["labels must be a tensor", "list"]),
        ({"labels": LABELS.to("meta")}, ValueError, ["labels must be on the device", "cpu", "got meta", "labels.to("]),
        ({"embeddings": [[0.0]]}, TypeError, ["embeddings must be a tensor", "list"]),
        ({"temperature": 0.0}, ValueError, ["positive", "0.0"]),
        ({"temperature": -0.3}, ValueError, ["positive", "-0.3"]),
        ({"temperature": math.nan}, ValueError, ["positive", "nan"]),
        ({"reduction": "avg"}, ValueError, ["'avg'", "'mean'", "'sum'", "'none'"]),
        ({"temperature_scaling": "all"}, ValueError, ["temperature_scaling='all'", "'none', 'positives'"]),
    ],
)
def test_wrong_argument_is_named_with_what_is_allowed(loss, changed, error, named):
    arguments = dict(zip(("embeddings", "labels", "weighting_logits"), batch())) | changed
    with pytest.raises(error) as caught:
        loss(**arguments)
    assert all(text in str(caught.value) for text in named)


def test_unknown_place_of_the_weight_is_named_with_what_is_allowed():
    with pytest.raises(ValueError, match="weight_placement='within' is unknown: use one of 'outside', 'inside'"):
        label_aware_contrastive_loss(*batch(), weight_placement="within")


@pytest.mark.parametrize("shape", [(10,), (9, 6), (10, 6, 1)])
def test_weighting_logits_of_a_wrong_shape_are_named_with_the_right_one(shape):
    embeddings, labels, _ = batch()
    with pytest.raises(ValueError, match=r"\(batch, num_labels\) with batch = 10, got") as caught:
        label_aware_contrastive_loss(embeddings, labels, torch.zeros(shape))
    assert str(shape) in str(caught.value)


@pytest.mark.parametrize("weighting_logits", [None, torch.zeros(4, 2, dtype=torch.long)])
def test_weighting_logits_that_are_none_or_integers_are_refused(weighting_logits):
    with pytest.raises(TypeError, match="weighting_logits must be a floating point tensor"):
        label_aware_contrastive_loss(torch.randn(4, 3), torch.tensor([0, 0, 1, 1]), weighting_logits)


def test_bool_labels_are_refused():
    with pytest.raises(TypeError, match=r"labels must be class ids \(integers\), got torch.bool"):
        supervised_contrastive_loss(torch.randn(4, 3), torch.tensor([True, True, False, False]))


def test_weighting_logits_on_another_device_are_refused():
    embeddings, labels, logits = batch()
    with pytest.raises(ValueError, match="weighting_logits must be on the device of embeddings, cpu, got meta"):
        label_aware_contrastive_loss(embeddings, labels, logits.to("meta"))


@pytest.mark.parametrize(
    ("labels", "named"),
    [([0, 1, 6, 0], "got 6 in row 2"), ([0, -100, 1, 0], "got -100 in row 1"), ([3, 2, 1, 300], "got 300 in row 3")],
)
def test_label_without_a_column_is_named(labels, named):
    with pytest.raises(
        ValueError, match=r"labels must be in \[0, 6\), because weighting_logits have 6 columns; " + named
    ):
        label_aware_contrastive_loss(torch.randn(4, 3), torch.tensor(labels), torch.randn(4, 6))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16], ids=str)
def test_label_without_a_column_is_found_in_a_narrow_type(dtype):
    labels = torch.tensor([0, 200, 0, 1]).to(dtype)
    with pytest.raises(ValueError, match="in row 1"):
        label_aware_contrastive_loss(torch.randn(4, 3), labels, torch.randn(4, 6))


def test_labels_of_the_supervised_loss_may_be_any_integers():
    embeddings = batch()[0]
    far_apart = torch.tensor([-100, 7, 2**40])[LABELS.clamp(max=2)]
    expected = supervised_contrastive_loss(embeddings, LABELS.clamp(max=2))
    torch.testing.assert_close(supervised_contrastive_loss(embeddings, far_apart), expected)


@both
@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize(
    ("rows", "named"),
    [([3], r"in 1 of 10 rows \(3\)"), ([0, 1, 2, 4, 5, 6], r"in 6 of 10 rows \(0, 1, 2, 4, 5, ...\)")],
    ids=["one", "many"],
)
def test_rows_with_nan_or_infinity_are_named(loss, rows, named, value, reduction):
    embeddings, labels, logits = batch()
    with torch.no_grad():
        embeddings[rows, 7] = value
    with pytest.raises(ValueError, match="embeddings holds NaN or infinity " + named):
        loss(embeddings, labels, logits, reduction=reduction)


def test_rows_of_weighting_logits_with_nan_are_named():
    embeddings, labels, logits = batch()
    with torch.no_grad():
        logits[8, 0] = math.nan
    with pytest.raises(ValueError, match=r"weighting_logits holds NaN or infinity in 1 of 10 rows \(8\)"):
        label_aware_contrastive_loss(embeddings, labels, logits)


@both
def test_loss_that_overflows_from_finite_embeddings_is_handed_out(loss):
    embeddings, labels, logits = batch()
    assert not loss(embeddings * 1e25, labels, logits, normalize=False).isfinite()


@both
def test_batch_of_no_texts_is_refused(loss):
    with pytest.raises(ValueError, match="embeddings has no rows"):
        loss(torch.zeros(0, 5), torch.zeros(0, dtype=torch.long), torch.zeros(0, 6))


@both
def test_similarity_with_itself_is_masked_below_any_other(loss):
    embeddings = torch.full((2, 64), 100.0) * torch.tensor([[1.0], [-1.0]])
    value = loss(embeddings, torch.tensor([0, 0]), torch.zeros(2, 1), normalize=False, temperature=0.005)
    # The only other text has all of the probability.
    assert value.item() == 0
