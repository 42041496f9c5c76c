"""What the two loss functions take: floating dtypes, autocast, degenerate batches; and what they refuse."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from hf_lcl import label_aware_contrastive_loss, supervised_contrastive_loss


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


@both
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
        ({"temperature": 0.0}, ValueError, ["positive", "0.0"]),
        ({"temperature": -0.3}, ValueError, ["positive", "-0.3"]),
        ({"temperature": math.nan}, ValueError, ["positive", "nan"]),
        ({"reduction": "avg"}, ValueError, ["'avg'", "'mean'", "'sum'", "'none'"]),
    ],
)
def test_wrong_argument_is_named_with_what_is_allowed(loss, changed, error, named):
    arguments = dict(zip(("embeddings", "labels", "weighting_logits"), batch())) | changed
    with pytest.raises(error) as caught:
        loss(**arguments)
    assert all(text in str(caught.value) for text in named)


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
