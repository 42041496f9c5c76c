"""The two implementations of the losses: cost, precision, and supported torch transforms."""

import math
from functools import partial

import pytest
import torch
from cost import Meter
from formula import batch, both, formula, scl

from hf_lcl import label_aware_contrastive_loss
from hf_lcl.losses import blockwise, log_ratios


def many(several: bool, size: int = 24, hidden: int = 16, num_labels: int = 6):
    """Random embeddings, labels and weighting logits in fp32."""
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.randn(size, hidden, generator=generator, requires_grad=True)
    labels = torch.randint(num_labels, (size,), generator=generator)
    if several:
        labels = torch.randint(3, (size, num_labels), generator=generator) // 2
    return embeddings, labels, torch.randn(size, num_labels, generator=generator, requires_grad=True)


def gradients_of_formula(loss, inputs, upstream=1.0, **options):
    """Gradients of the reference formula for embeddings and weighting logits, in float64."""
    exact = [x.detach().double().requires_grad_() if x.is_floating_point() else x for x in inputs]
    (formula(loss, *exact, **options) * upstream).sum().backward()
    return [x.grad for x in exact[::2]]


@both
@pytest.mark.parametrize(
    ("reduction", "gradients", "products"), [("mean", True, 3), ("none", True, 4), ("mean", False, 1)]
)
def test_blocks_take_three_products_and_no_matrix_of_all_pairs(
    loss, several, reduction, gradients, products, monkeypatch
):
    monkeypatch.setattr(log_ratios, "DIRECT_PAIRS", 0)
    monkeypatch.setattr(blockwise, "CPU_BLOCK_BYTES", 4 * 8 * 64)  # eight rows
    size, hidden, num_labels = 64, 16, 6
    with Meter() as meter, torch.set_grad_enabled(gradients):
        value = loss(*many(several, size, hidden, num_labels), reduction=reduction)
        if gradients:
            value.sum().backward()
    # The gradient of the weighting logits is a matrix product with the one-hot classes of the candidates.
    of_classes = num_labels * size * size if gradients and loss is not scl else 0
    if several:  # so are the weights of the candidates, in each pass, and the sums over classes
        passes = 2 if products == 4 else 1
        of_classes = num_labels * size * size * (passes + 2 * gradients) if loss is not scl else 0
        of_classes += num_labels * size * hidden * 2 * (passes + gradients)
    assert meter.multiplications == products * size * size * hidden + of_classes
    assert meter.largest == size * hidden
    assert meter.reads == 1


@both
def test_few_pairs_take_two_products_where_the_batch_is_compared_with_itself(loss, several, monkeypatch):
    size, hidden, num_labels = 40, 16, 6
    monkeypatch.setattr(log_ratios, "DIRECT_PAIRS", size * size)
    with Meter() as meter:
        loss(*many(several, size, hidden, num_labels)).backward()
    # Indicator rows enter products for the positives, the weights and the gradient of the weighting logits.
    of_classes = num_labels * size * size * (1 if loss is scl else 4) if several else 0
    assert meter.multiplications == 2 * size * size * hidden + of_classes
    assert meter.reads == 1


@both
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_single_precision_agrees_with_the_formula_in_double_also_under_autocast(form, loss, several, reduction):
    upstream = torch.randn(24, generator=torch.Generator().manual_seed(1))
    options = {"temperature": 0.07, "reduction": reduction}
    expected = gradients_of_formula(loss, many(several), upstream, **options)
    for enabled in (False, True):
        inputs = many(several)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            (loss(*inputs, **options) * upstream).sum().backward()
        for ours, exact in zip(inputs[::2], expected):
            if exact is not None:
                assert (ours.grad - exact).norm() < 1e-5 * exact.norm()


@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize(
    ("loss", "leaf"),
    [(scl, 0), (label_aware_contrastive_loss, 0), (label_aware_contrastive_loss, 2)],
    ids=["scl by embeddings", "lcl by embeddings", "lcl by weighting logits"],
)
def test_second_derivative_is_refused(loss, several, leaf, reduction):
    inputs = batch(several)
    for value in (loss(*inputs, reduction=reduction).square().sum(), loss(*inputs, reduction=reduction).sum()):
        (gradient,) = torch.autograd.grad(value, inputs[0], create_graph=True)
        with pytest.raises(RuntimeError, match="differentiated once, not twice: leave them out of"):
            torch.autograd.grad(gradient.sum(), inputs[leaf])


@both
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_gradients_accumulate_and_do_not_depend_on_which_inputs_have_one(form, loss, several, reduction):
    expected = gradients_of_formula(loss, batch(several), reduction=reduction)
    inputs = batch(several)
    value = loss(*inputs, reduction=reduction).sum()
    value.backward(retain_graph=True)
    value.backward()
    for i, exact in zip((0, 2), expected):
        if exact is not None:
            torch.testing.assert_close(inputs[i].grad, 2 * exact)
            alone = [x.detach() for x in inputs]
            loss(*alone[:i], alone[i].requires_grad_(), *alone[i + 1 :], reduction=reduction).sum().backward()
            torch.testing.assert_close(alone[i].grad, exact)


@both
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_gradients_of_torch_func_are_those_of_the_formula(form, loss, several, reduction):
    embeddings, labels, logits = batch(several)
    ours = torch.func.grad(lambda h, z: loss(h, labels, z, reduction=reduction).sum(), argnums=(0, 1))
    expected = gradients_of_formula(loss, batch(several), reduction=reduction)
    for gradient, exact in zip(ours(embeddings.detach(), logits.detach()), expected):
        torch.testing.assert_close(gradient, torch.zeros_like(gradient) if exact is None else exact)


@both
@pytest.mark.parametrize("transform", [torch.vmap, torch.func.jacrev], ids=["vmap", "jacrev"])
def test_a_batch_of_batches_is_refused(loss, several, transform):
    embeddings, labels, logits = (x.detach() for x in batch(several))
    given = embeddings if transform is torch.func.jacrev else torch.stack([embeddings, embeddings])
    for reduction in ("mean", "none"):
        function = partial(loss, labels=labels, weighting_logits=logits, reduction=reduction)
        with pytest.raises(ValueError, match=r"do not work under torch.vmap: call them in a loop"):
            transform(function)(given)
    with pytest.raises(ValueError, match=r"do not work under torch.vmap: call them in a loop"):
        torch.vmap(lambda y: loss(embeddings, y, logits))(torch.stack([labels, labels]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loss", "pairs", "several"),
    [
        (scl, math.inf, False),
        (label_aware_contrastive_loss, -1, False),
        (scl, -1, True),
        (label_aware_contrastive_loss, math.inf, True),
    ],
    ids=["scl", "lcl", "scl-several", "lcl-several"],
)
def test_losses_work_in_one_compiled_graph(loss, pairs, several, monkeypatch):
    """With either form, and with a learned temperature; input values are not checked when compiled."""
    monkeypatch.setattr(log_ratios, "DIRECT_PAIRS", pairs)
    monkeypatch.setattr(blockwise, "CPU_BLOCK_BYTES", 160)
    embeddings, labels, logits = batch(several)
    temperature = torch.tensor(0.4, dtype=torch.float64, requires_grad=True)

    def step(h, z, t):
        return loss(h * 2, labels, z, temperature=t) * 3

    torch._dynamo.reset()
    value = torch.compile(step, fullgraph=True, backend="aot_eager")(embeddings, logits, temperature)
    expected = formula(loss, embeddings, labels, logits, temperature=temperature) * 3
    torch.testing.assert_close(value, expected)
    leaves = (embeddings, temperature, *(() if loss is scl else (logits,)))
    for ours, exact in zip(torch.autograd.grad(value, leaves), torch.autograd.grad(expected, leaves)):
        torch.testing.assert_close(ours, exact)
