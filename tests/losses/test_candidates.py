"""Anchors compared with more than their own batch: all processes, past embeddings, and what does not go together."""

from functools import partial

import pytest
import torch
from torch import Tensor

from hf_lcl import label_aware_contrastive_loss, supervised_contrastive_loss
from hf_lcl.losses import Objective
from hf_lcl.losses.candidates import Candidates


pytestmark = pytest.mark.usefixtures("form")

LABELS = torch.tensor([0, 1, 0, 2, 1, 0, 3, 4, 3, 1])


def scl(embeddings: Tensor, labels: Tensor, weighting_logits: Tensor, **options) -> Tensor:
    """The supervised loss under the other's signature, so that a test can run on both."""
    return supervised_contrastive_loss(embeddings, labels, **options)


both = pytest.mark.parametrize("loss", [scl, label_aware_contrastive_loss], ids=["scl", "lcl"])
by_positives = {"temperature_scaling": "positives"}
every_variant = pytest.mark.parametrize(
    "loss",
    [
        scl,
        label_aware_contrastive_loss,
        partial(scl, **by_positives),
        partial(label_aware_contrastive_loss, weight_placement="inside"),
        partial(label_aware_contrastive_loss, weight_placement="inside", **by_positives),
    ],
    ids=["scl", "lcl", "scl by positives", "lcl inside", "lcl inside by positives"],
)


def batch() -> tuple[Tensor, Tensor, Tensor]:
    """Embeddings, `LABELS` and weighting logits, the same ones in every test."""
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.randn(len(LABELS), 5, generator=generator, dtype=torch.float64, requires_grad=True)
    weighting_logits = torch.randn(len(LABELS), 6, generator=generator, dtype=torch.float64, requires_grad=True)
    return embeddings, LABELS, weighting_logits


def past_batch() -> tuple[Tensor, Tensor]:
    """Embeddings and labels of past batches; some are of class 5, of which no anchor is."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(7, 5, generator=generator, dtype=torch.float64), torch.tensor([2, 5, 0, 0, 5, 4, 1])


@every_variant
@pytest.mark.parametrize("copy", [False, True], ids=["same tensor", "copy"])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_batch_as_its_own_candidates_changes_nothing(loss, reduction, copy):
    results = []
    for given in (False, True):
        embeddings, labels, logits = batch()
        candidates = {
            "candidate_embeddings": embeddings * 1 if copy else embeddings,
            "candidate_labels": labels,
            "anchor_positions": torch.arange(len(labels)),
        }
        value = loss(embeddings, labels, logits, reduction=reduction, **(candidates if given else {}))
        value.sum().backward()
        results.append((value, embeddings.grad, logits.grad))
    torch.testing.assert_close(*results)


@every_variant
@pytest.mark.parametrize("shares", [[5, 5], [3, 7], [1, 2, 3, 4]], ids=str)
def test_shares_of_a_batch_against_all_of_it_add_up_to_the_whole(loss, shares):
    embeddings, labels, logits = batch()
    loss(embeddings, labels, logits, reduction="sum").backward()
    parts = batch()
    positions = torch.arange(len(labels))
    total = 0
    for own, own_labels, own_logits, rows in zip(*(x.split(shares) for x in (*parts, positions))):
        total = total + loss(
            own,
            own_labels,
            own_logits,
            reduction="sum",
            candidate_embeddings=parts[0],
            candidate_labels=labels,
            anchor_positions=rows,
        )
    total.backward()
    torch.testing.assert_close(total, loss(embeddings, labels, logits, reduction="sum"))
    torch.testing.assert_close(parts[0].grad, embeddings.grad)
    torch.testing.assert_close(parts[2].grad, logits.grad)


@every_variant
def test_text_alone_in_its_batch_finds_positives_among_the_candidates(loss):
    embeddings, labels, logits = batch()
    past, past_labels = past_batch()
    value = loss(
        embeddings,
        labels,
        logits,
        reduction="none",
        candidate_embeddings=torch.cat([embeddings, past]),
        candidate_labels=torch.cat([labels, past_labels]),
        anchor_positions=torch.arange(len(labels)),
    )
    alone = (labels == 2) | (labels == 4)
    assert (loss(embeddings, labels, logits, reduction="none")[alone] == 0).all()
    assert (value != 0).all()


@every_variant
def test_mean_is_over_the_anchors_that_have_a_positive_among_the_candidates(loss):
    embeddings, labels, logits = batch()
    past, past_labels = past_batch()
    candidates = {"candidate_embeddings": past, "candidate_labels": past_labels}
    per_anchor = loss(embeddings, labels, logits, reduction="none", **candidates)
    # No candidate is of class 3.
    assert (per_anchor == 0).tolist() == (labels == 3).tolist()
    torch.testing.assert_close(loss(embeddings, labels, logits, **candidates), per_anchor.sum() / 8)


@every_variant
def test_candidates_of_no_anchors_class_give_zero_loss_and_zero_gradients(loss):
    embeddings, labels, logits = batch()
    past = past_batch()[0].requires_grad_()
    labels_of_past = torch.full((len(past),), 5)
    value = loss(embeddings, labels, logits, candidate_embeddings=past, candidate_labels=labels_of_past)
    value.backward()
    assert value.item() == 0
    assert not embeddings.grad.any()
    assert not past.grad.any()


@every_variant
@pytest.mark.parametrize("positions", [True, False])
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_gradient_is_that_of_finite_differences(loss, reduction, positions):
    embeddings, labels, logits = batch()
    past, past_labels = past_batch()
    rows = torch.tensor([5, 1, 3])

    def function(h: Tensor, c: Tensor, z: Tensor) -> Tensor:
        return loss(
            h,
            labels[rows],
            z,
            reduction=reduction,
            candidate_embeddings=c,
            candidate_labels=torch.cat([labels, past_labels]),
            anchor_positions=rows if positions else None,
        )

    candidates = torch.cat([embeddings, past]).detach().requires_grad_()
    inputs = (embeddings[rows].detach().requires_grad_(), candidates, logits[rows].detach().requires_grad_())
    assert torch.autograd.gradcheck(function, inputs)


@every_variant
def test_anchors_of_a_process_without_texts_give_zero(loss):
    past, past_labels = past_batch()
    embeddings, labels, logits = (x[:0] for x in batch())
    value = loss(
        embeddings,
        labels,
        logits,
        candidate_embeddings=past.requires_grad_(),
        candidate_labels=past_labels,
        anchor_positions=labels,
    )
    value.backward()
    assert value.item() == 0
    assert not past.grad.any()


@both
@pytest.mark.parametrize("dtype", [torch.int32, torch.uint8], ids=str)
def test_labels_and_positions_may_be_of_any_integer_type(loss, dtype):
    embeddings, labels, logits = batch()
    past, past_labels = past_batch()
    candidates = torch.cat([embeddings, past])
    candidate_labels, positions = torch.cat([labels, past_labels]), torch.arange(len(labels))
    results = [
        loss(
            embeddings,
            labels,
            logits,
            candidate_embeddings=candidates,
            candidate_labels=candidate_labels.to(kind),
            anchor_positions=positions.to(kind),
        )
        for kind in (torch.int64, dtype)
    ]
    assert torch.equal(*results)


@both
@pytest.mark.parametrize(
    ("changed", "error", "named"),
    [
        ({"candidate_labels": None}, ValueError, ["candidate_embeddings and candidate_labels belong together"]),
        ({"candidate_embeddings": None}, ValueError, ["candidate_embeddings and candidate_labels belong together"]),
        (
            {"candidate_embeddings": None, "candidate_labels": None},
            ValueError,
            ["anchor_positions are rows of both", "leave out all three"],
        ),
        ({"candidate_embeddings": [[0.0]]}, TypeError, ["candidate_embeddings must be a tensor", "list"]),
        ({"candidate_embeddings": torch.zeros(10, 5).long()}, TypeError, ["candidate_embeddings", "torch.int64"]),
        ({"candidate_embeddings": torch.zeros(10, 4).double()}, ValueError, ["hidden = 5", "(10, 4)"]),
        ({"candidate_embeddings": torch.zeros(10).double()}, ValueError, ["(candidates, hidden)", "(10,)"]),
        ({"candidate_embeddings": torch.zeros(10, 5)}, TypeError, ["torch.float64", "got torch.float32", ".to(emb"]),
        ({"candidate_labels": LABELS[:9]}, ValueError, ["(candidates,)", "(10, 5)", "(9,)"]),
        ({"candidate_labels": LABELS.double()}, TypeError, ["candidate_labels", "integers", "torch.float64"]),
        ({"anchor_positions": torch.arange(9)}, ValueError, ["anchor_positions", "batch = 10", "(9,)"]),
        ({"anchor_positions": torch.ones(10)}, TypeError, ["anchor_positions", "rows", "torch.float32"]),
        ({"anchor_positions": torch.arange(10) + 1}, ValueError, ["[0, 10)", "10 candidates", "got 10 in row 9"]),
        ({"anchor_positions": torch.arange(10) - 1}, ValueError, ["[0, 10)", "got -1 in row 0"]),
        ({"anchor_positions": torch.zeros(10).long()}, ValueError, ["anchor 1 is candidate 0", "are 1 and 0"]),
        ({"candidate_labels": LABELS.to("meta")}, ValueError, ["candidate_labels", "device", "cpu", "got meta"]),
    ],
)
def test_candidates_that_do_not_fit_are_named_with_what_is_allowed(loss, changed, error, named):
    embeddings, labels, logits = batch()
    candidates = {
        "candidate_embeddings": embeddings,
        "candidate_labels": labels,
        "anchor_positions": torch.arange(len(labels)),
    }
    with pytest.raises(error) as caught:
        loss(embeddings, labels, logits, **(candidates | changed))
    assert all(text in str(caught.value) for text in named)


def test_label_of_a_candidate_without_a_column_is_named():
    embeddings, labels, logits = batch()
    past, past_labels = past_batch()
    with pytest.raises(
        ValueError, match=r"candidate_labels must be in \[0, 5\), because weighting_logits have 5 columns"
    ):
        label_aware_contrastive_loss(
            embeddings, labels, logits[:, :5], candidate_embeddings=past, candidate_labels=past_labels
        )


@both
def test_rows_of_candidates_with_nan_are_named(loss):
    embeddings, labels, logits = batch()
    past, past_labels = past_batch()
    past[4, 2] = torch.nan
    with pytest.raises(ValueError, match=r"candidate_embeddings holds NaN or infinity in 1 of 7 rows \(4\)"):
        loss(embeddings, labels, logits, candidate_embeddings=past, candidate_labels=past_labels)


def test_the_objective_compares_with_past_embeddings_and_trains_the_batch_alone():
    generator = torch.Generator().manual_seed(0)
    logits, embeddings, weighting = (
        torch.randn(4, 3, generator=generator).double().requires_grad_() for _ in range(3)
    )
    past, labels, past_labels = torch.randn(5, 3).double(), torch.tensor([0, 1, 1, 2]), torch.tensor([0, 0, 2, 1, 1])
    candidates = Candidates(
        torch.cat([embeddings, past]), torch.cat([labels, past_labels]), torch.arange(4), batch_size=4
    )
    loss, parts = Objective("lcl", alpha=0.0)(logits, embeddings, weighting, labels, candidates)
    # By hand: the rows of the four anchors out of the loss of all nine texts.
    everything = label_aware_contrastive_loss(
        candidates.embeddings,
        candidates.labels,
        torch.cat([weighting, torch.zeros(5, 3).double()]),
        reduction="none",
    )
    torch.testing.assert_close(loss, everything[:4].mean())
    assert parts["candidates_per_anchor"].value == 8
    assert parts["positives_per_anchor"].value == (2 + 3 + 3 + 1) / 4
    loss.backward()
    assert embeddings.grad.abs().sum() > 0
