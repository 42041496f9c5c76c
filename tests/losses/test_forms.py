"""The two ways over the pairs: what they cost, that they agree in single precision, and what they refuse."""

import pytest
import torch
from formula import contrastive_loss
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from hf_lcl import label_aware_contrastive_loss, supervised_contrastive_loss
from hf_lcl.losses import blockwise, log_ratios


def scl(embeddings: Tensor, labels: Tensor, weighting_logits: Tensor, **options) -> Tensor:
    """The supervised loss under the other's signature, so that a test can run on both."""
    return supervised_contrastive_loss(embeddings, labels, **options)


both = pytest.mark.parametrize("loss", [scl, label_aware_contrastive_loss], ids=["scl", "lcl"])


def batch(size: int = 40, hidden: int = 16, num_labels: int = 6) -> tuple[Tensor, Tensor, Tensor]:
    """Random embeddings, labels and weighting logits, the same ones in every test."""
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.randn(size, hidden, generator=generator, requires_grad=True)
    labels = torch.randint(num_labels, (size,), generator=generator)
    return embeddings, labels, torch.randn(size, num_labels, generator=generator, requires_grad=True)


class Meter(TorchDispatchMode):
    """Counts multiplications of matrix products, and elements of the largest tensor made."""

    def __init__(self):
        super().__init__()
        self.multiplications = self.largest = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if function.overloadpacket in (torch.ops.aten.mm, torch.ops.aten.addmm, torch.ops.aten.addmm_):
            left, right = [x for x in args if torch.is_tensor(x)][-2:]
            self.multiplications += left.shape[0] * left.shape[1] * right.shape[1]
        self.largest = max([self.largest, *(x.numel() for x in tree_leaves(result) if torch.is_tensor(x))])
        return result


@both
@pytest.mark.parametrize(
    ("reduction", "gradients", "products"),
    [("mean", True, 3), ("sum", True, 3), ("none", True, 4), ("mean", False, 1), ("none", False, 1)],
)
def test_blocks_take_three_products_and_no_matrix_of_all_pairs(loss, reduction, gradients, products, monkeypatch):
    monkeypatch.setattr(log_ratios, "DIRECT_PAIRS", 0)
    monkeypatch.setattr(blockwise, "CPU_BLOCK", 4 * 8 * 128)  # eight rows
    size, hidden, num_labels = 128, 16, 6
    embeddings, labels, logits = batch(size, hidden, num_labels)
    with Meter() as meter, torch.set_grad_enabled(gradients):
        value = loss(embeddings, labels, logits, reduction=reduction)
        if gradients:
            value.sum().backward()
    # The gradient of the weighting logits is a product with the candidates' classes.
    of_classes = num_labels * size * size if gradients and loss is not scl else 0
    assert meter.multiplications == products * size * size * hidden + of_classes
    assert meter.largest == size * hidden


@both
def test_few_pairs_take_two_products_where_the_batch_is_compared_with_itself(loss, monkeypatch):
    size, hidden = 40, 16
    monkeypatch.setattr(log_ratios, "DIRECT_PAIRS", size * size)
    embeddings, labels, logits = batch(size, hidden)
    with Meter() as meter:
        loss(embeddings, labels, logits).backward()
    assert meter.multiplications == 2 * size * size * hidden


@both
@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.usefixtures("form")
def test_single_precision_agrees_with_the_formula_in_double(loss, reduction):
    inputs = batch(size=80, num_labels=12)
    upstream = torch.randn(80, generator=torch.Generator().manual_seed(1))
    exact = [x.detach().double().requires_grad_() if x.is_floating_point() else x for x in inputs]
    options = {"temperature": 0.07, "reduction": reduction}
    (loss(*inputs, **options) * upstream).sum().backward()
    (contrastive_loss(*(exact[:2] if loss is scl else exact), **options) * upstream).sum().backward()
    for ours, expected in ((inputs[0], exact[0]), (inputs[2], exact[2])):
        if expected.grad is not None:
            assert (ours.grad - expected.grad).norm() < 1e-5 * expected.grad.norm()


@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize(
    ("loss", "leaf"),
    [(scl, 0), (label_aware_contrastive_loss, 0), (label_aware_contrastive_loss, 2)],
    ids=["scl by embeddings", "lcl by embeddings", "lcl by weighting logits"],
)
@pytest.mark.usefixtures("form")
def test_second_derivative_is_refused(loss, leaf, reduction):
    inputs = batch()
    value = loss(*inputs, reduction=reduction).square().sum()
    (gradient,) = torch.autograd.grad(value, inputs[0], create_graph=True)
    with pytest.raises(RuntimeError, match="differentiated once, not twice: leave them out of"):
        torch.autograd.grad(gradient.sum(), inputs[leaf])


@both
@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.usefixtures("form")
def test_gradient_can_be_asked_for_twice_and_accumulates(loss, reduction):
    embeddings, labels, logits = batch()
    value = loss(embeddings, labels, logits, reduction=reduction).sum()
    value.backward(retain_graph=True)
    once = embeddings.grad.clone()
    value.backward()
    torch.testing.assert_close(embeddings.grad, 2 * once)


@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.usefixtures("form")
def test_gradient_of_one_input_does_not_depend_on_which_others_have_one(reduction):
    inputs = batch()
    label_aware_contrastive_loss(*inputs, reduction=reduction).sum().backward()
    for i in (0, 2):
        alone = [x.detach() for x in inputs]
        alone[i].requires_grad_()
        label_aware_contrastive_loss(*alone, reduction=reduction).sum().backward()
        torch.testing.assert_close(alone[i].grad, inputs[i].grad)


@both
@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.usefixtures("form")
def test_backward_pass_under_autocast_is_as_exact(loss, reduction):
    gradients = []
    for enabled in (False, True):
        embeddings, labels, logits = batch()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            loss(embeddings, labels, logits, reduction=reduction).sum().backward()
        gradients.append(embeddings.grad)
    assert torch.equal(*gradients)


@both
@pytest.mark.usefixtures("form")
def test_text_alone_in_a_batch_has_a_zero_gradient_under_a_gradient_scaler(loss):
    embeddings, labels, logits = batch(size=1)
    (loss(embeddings, labels, logits) * 2.0**24).backward()
    assert not embeddings.grad.any()
    assert logits.grad is None or not logits.grad.any()


@both
@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.usefixtures("form")
def test_class_of_weight_zero_gives_no_nan(loss, reduction):
    embeddings, labels, logits = batch()
    with torch.no_grad():
        logits[:, 2] = -torch.inf
    value = loss(embeddings, labels, logits, reduction=reduction)
    value.sum().backward()
    assert value.isfinite().all()
    assert embeddings.grad.isfinite().all()
    assert loss is scl or logits.grad.isfinite().all()


@both
@pytest.mark.slow
@pytest.mark.usefixtures("form")
def test_losses_work_in_a_compiled_function(loss):
    layer = torch.nn.Linear(16, 16)
    embeddings, labels, logits = batch()

    def step(embeddings: Tensor) -> Tensor:
        return loss(layer(embeddings), labels, logits) * 2

    gradients = []
    for function in (step, torch.compile(step, backend="aot_eager")):
        layer.zero_grad()
        function(embeddings).backward()
        gradients.append(layer.weight.grad.clone())
    torch.testing.assert_close(*gradients)
