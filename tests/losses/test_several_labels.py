"""Both losses and the objective where a text has several labels: against the printed formula, label by label."""

import pytest
import torch
import torch.nn.functional as F
from formula import batch, both, formula, scl
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hf_lcl import SupConLoss, label_aware_contrastive_loss
from hf_lcl.losses.candidates import Candidates
from hf_lcl.losses.objective import Objective, batch_statistics


# Label 3 has one text, label 4 none; text 5 has no label.
ROWS = torch.tensor([[1, 1, 0, 0, 0], [0, 1, 0, 0, 0], [1, 0, 1, 1, 0], [0, 0, 1, 0, 0], [1, 1, 0, 0, 0], [0] * 5])


def by_label(loss, h, rows, z, candidates=None, candidate_rows=None, positions=None, temperature=0.3) -> list[Tensor]:
    """The loss of each valid anchor in float64: a mean over its labels, each with positives of its own."""
    own = range(len(h)) if candidates is None else [None] * len(h) if positions is None else positions.tolist()
    c, y = (h, rows.tolist()) if candidates is None else (candidates, candidate_rows.tolist())
    h, c, losses = F.normalize(h, dim=1), F.normalize(c, dim=1), []
    for i, labels in enumerate(rows.tolist()):
        others = [k for k in range(len(c)) if k != own[i]]

        def weight(of, logits=z[i]):
            labels = [label for label, has in enumerate(of) if has] or range(len(of))
            return 1.0 if loss is scl else logits.softmax(dim=0)[list(labels)].mean()

        total = sum(weight(y[k]) * (h[i] @ c[k] / temperature).exp() for k in others)
        of_labels = []
        for label in (label for label, has in enumerate(labels) if has):
            positives = [p for p in others if y[p][label]]
            if positives:
                ratios = [h[i] @ c[p] / temperature - total.log() for p in positives]
                of_labels.append(-weight(labels) * sum(ratios) / len(positives))
        if of_labels:
            losses.append(sum(of_labels) / len(of_labels))
    return losses


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@both
@settings(max_examples=30, deadline=None, derandomize=True, database=None)
@given(
    texts=st.integers(2, 7),
    num_labels=st.integers(2, 5),
    share=st.sampled_from([0.2, 0.5, 0.9]),
    candidates=st.sampled_from(["batch", "others", "both"]),
    seed=st.integers(0, 1000),
)
def test_value_and_gradients_are_those_of_the_formula(form, loss, texts, num_labels, share, candidates, seed):
    generator = torch.Generator().manual_seed(seed)
    rows, more = ((torch.rand(n, num_labels, generator=generator) < share).long() for n in (texts, 3))
    h, others, z = (draw(n, d, seed=seed + k) for k, (n, d) in enumerate(((texts, 4), (3, 4), (texts, num_labels))))
    order = torch.randperm(texts + 3, generator=generator)

    def inputs(h, others):
        if candidates == "batch":
            return None, None, None
        if candidates == "others":
            return others, more, None
        return torch.cat([h, others])[order], torch.cat([rows, more])[order], order.argsort()[:texts]

    found = []
    for is_ours in (True, False):
        leaves = [x.clone().requires_grad_() for x in (h, others, z)]
        c, y, positions = inputs(*leaves[:2])
        if is_ours:
            options = {} if c is None else {"candidate_embeddings": c, "candidate_labels": y}
            options |= {} if positions is None else {"anchor_positions": positions}
            value = loss(leaves[0], rows, leaves[2], **options)
            each = loss(leaves[0], rows, leaves[2], reduction="none", **options)
            torch.testing.assert_close(each.sum() / max(int((each != 0).sum()), 1), value)
        else:
            losses = by_label(loss, leaves[0], rows, leaves[2], c, y, positions)
            value = sum(losses) / len(losses) if losses else 0 * leaves[0].sum()
        gradients = torch.autograd.grad(value, leaves, allow_unused=True, materialize_grads=True)
        found.append((value.detach(), *gradients))
    for ours, expected in zip(*found):
        torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-11)


@both
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_one_label_each_gives_the_loss_of_classes(form, loss, reduction):
    embeddings, labels, logits = batch()
    upstream = draw(len(labels), seed=3) if reduction == "none" else 1.0
    found = []
    for given_labels in (labels, F.one_hot(labels, 6), F.one_hot(labels, 6).bool(), F.one_hot(labels, 6).float()):
        value = loss(embeddings, given_labels, logits, reduction=reduction)
        gradients = torch.autograd.grad((value * upstream).sum(), (embeddings, logits), allow_unused=True)
        found.append((value.detach(), gradients[0]))
    for other in found[1:]:
        for ours, expected in zip(other, found[0]):
            if loss is scl and form == "direct":
                assert torch.equal(ours, expected)
            torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(found[1][0], formula(loss, embeddings, labels, logits, reduction=reduction).detach())


def test_label_of_weight_zero_has_a_gradient_and_takes_nothing(form):
    logits = draw(6, 5, seed=1)
    logits[:, 1] = -torch.inf
    embeddings, logits = draw(6, 4, seed=0).requires_grad_(), logits.requires_grad_()
    value = label_aware_contrastive_loss(embeddings, ROWS, logits)
    value.backward()
    assert value.isfinite()
    assert embeddings.grad.isfinite().all()
    assert logits.grad.isfinite().all()


def test_anchors_and_labels_without_positives_are_left_out():
    value = SupConLoss(reduction="none")(draw(6, 4, seed=0), ROWS)
    assert (value != 0).tolist() == [True, True, True, True, True, False]
    without = ROWS.clone()
    without[2, 3] = 0  # the one text of label 3
    torch.testing.assert_close(SupConLoss(reduction="none")(draw(6, 4, seed=0), without), value)


@pytest.mark.slow
def test_works_in_one_compiled_graph(form):
    loss = label_aware_contrastive_loss
    embeddings, logits = draw(6, 4, seed=0).requires_grad_(), draw(6, 5, seed=1).requires_grad_()
    torch._dynamo.reset()
    compiled = torch.compile(lambda h, z: loss(h, ROWS, z), fullgraph=True, backend="aot_eager")
    ours, expected = compiled(embeddings, logits), loss(embeddings, ROWS, logits)
    torch.testing.assert_close(ours, expected)
    gradients = (torch.autograd.grad(value, embeddings)[0] for value in (ours, expected))
    torch.testing.assert_close(*gradients)


# The objective

WEIGHTS = torch.tensor([0.5, 2.0, 1.0, 3.0, 1.5])


def outputs() -> list[Tensor]:
    """Logits, embeddings and weighting logits."""
    return [draw(6, n, seed=k).requires_grad_() for k, n in enumerate((5, 4, 5))]


def binary_cross_entropy_by_hand(logits: Tensor, rows: Tensor, weights: Tensor | None, smoothing: float) -> Tensor:
    p, y = logits.sigmoid(), rows * (1 - smoothing) + smoothing / 2
    w = torch.ones(5) if weights is None else weights
    return -(w * y * p.log() + (1 - y) * (1 - p).log()).mean()


def test_ce_is_that_of_transformers_to_the_last_bit():
    logits = outputs()[0].float()
    loss, parts = Objective("ce")(logits, outputs()[1], None, ROWS.float())
    assert torch.equal(loss, torch.nn.BCEWithLogitsLoss()(logits, ROWS.float()))
    assert list(parts) == ["loss_ce"]


@pytest.mark.parametrize("name", ["scl", "lcl"])
@pytest.mark.parametrize(("weights", "smoothing"), [(None, 0.0), (WEIGHTS, 0.0), (WEIGHTS, 0.1)])
@pytest.mark.parametrize("views", [1, 2])
def test_objective_is_binary_cross_entropies_and_the_contrastive_loss(name, weights, smoothing, views):
    logits, embeddings, weighting_logits = outputs()
    objective = Objective(name, alpha=0.3, class_weights=weights, label_smoothing=smoothing)
    loss, parts = objective(logits, embeddings, weighting_logits, ROWS.float(), views=views)
    texts = slice(6 // views)
    classification = binary_cross_entropy_by_hand(logits[texts], ROWS[texts], weights, smoothing)
    if name == "lcl":
        classification += binary_cross_entropy_by_hand(weighting_logits[texts], ROWS[texts], weights, smoothing)
    losses = by_label(scl if name == "scl" else None, embeddings, ROWS, weighting_logits)
    torch.testing.assert_close(loss, 0.3 * classification + 0.7 * sum(losses) / len(losses))
    assert parts["valid_anchors"].value.item() == pytest.approx(5 / 6)


@pytest.mark.parametrize("name", ["ce", "scl", "lcl"])
def test_shares_of_a_batch_add_up_to_it(name):
    objective = Objective(name, alpha=0.3, class_weights=WEIGHTS)
    tensors, rows = outputs(), ROWS.float()
    whole = objective(*tensors, rows)[0]
    parts = []
    for part in (slice(0, 2), slice(2, 6)):
        positions = torch.arange(6)[part]
        candidates = Candidates(tensors[1], rows, positions, batch_size=6, processes=2)
        parts.append(objective(*(x[part] for x in tensors), rows[part], candidates)[0])
    torch.testing.assert_close(sum(parts) / 2, whole)


def test_statistics_are_those_of_all_pairs():
    embeddings, cosines, positives = draw(6, 4, seed=0), {True: [], False: []}, 0
    for i in range(6):
        for k in set(range(6)) - {i}:
            shares = bool((ROWS[i] * ROWS[k]).any())
            cosines[shares].append(F.cosine_similarity(embeddings[i], embeddings[k], dim=0).item())
            positives += shares
    found = {name: part.value.item() for name, part in batch_statistics(embeddings, ROWS, num_labels=5).items()}
    assert found["positives_per_anchor"] == pytest.approx(positives / 6)
    for name, key in (("positive_similarity", True), ("negative_similarity", False)):
        assert found[name] == pytest.approx(sum(cosines[key]) / len(cosines[key]), abs=1e-6)
