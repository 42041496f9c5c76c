"""The training objective: how its parts make up the loss, and what a batch is reported to teach."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from hf_lcl import label_aware_contrastive_loss, supervised_contrastive_loss
from hf_lcl.losses.candidates import Candidates
from hf_lcl.losses.objective import Objective, batch_statistics


# Class 3 has one text, class 4 none.
LABELS = torch.tensor([0, 1, 2, 0, 1, 2, 0, 3])
STATISTICS = {
    "valid_anchors",
    "positives_per_anchor",
    "candidates_per_anchor",
    "positive_similarity",
    "negative_similarity",
}


def batch(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Logits, embeddings, weighting logits and labels, in the order in which an objective takes them."""
    generator = torch.Generator().manual_seed(0)
    shapes = ((8, 5), (8, 6), (8, 5))
    tensors = [torch.randn(shape, generator=generator).to(dtype).requires_grad_() for shape in shapes]
    return *tensors, LABELS


def values(parts: dict) -> dict[str, float]:
    return {name: part.value.item() for name, part in parts.items()}


def cross_entropy_by_hand(logits: Tensor, labels: Tensor, class_weights: Tensor, smoothing: float) -> float:
    """As torch documents it: the mean over the texts is weighted by the weight of each text's class."""
    log_p, w, num_labels = logits.log_softmax(dim=1), class_weights.tolist(), logits.shape[1]
    total = 0.0
    for row, label in zip(log_p.tolist(), labels.tolist()):
        total -= (1 - smoothing) * w[label] * row[label]
        total -= smoothing / num_labels * sum(w[c] * row[c] for c in range(num_labels))
    return total / sum(w[label] for label in labels.tolist())


def test_ce_is_cross_entropy_and_nothing_else():
    logits, embeddings, _, labels = batch()
    loss, parts = Objective("ce", alpha=0.3)(logits, embeddings, None, labels)
    assert torch.equal(loss, F.cross_entropy(logits, labels))
    assert values(parts) == {"loss_ce": loss.item()}


@pytest.mark.parametrize("alpha", [0.0, 0.2, 0.5, 1.0])
def test_scl_joins_one_cross_entropy_and_the_supervised_loss(alpha):
    logits, embeddings, _, labels = batch()
    loss, parts = Objective("scl", alpha=alpha)(logits, embeddings, None, labels)
    contrastive = supervised_contrastive_loss(embeddings, labels)
    torch.testing.assert_close(loss, alpha * F.cross_entropy(logits, labels) + (1 - alpha) * contrastive)
    assert set(parts) == {"loss_ce", "loss_contrastive"} | STATISTICS


@pytest.mark.parametrize("alpha", [0.0, 0.2, 0.5, 1.0])
def test_lcl_joins_two_cross_entropies_and_the_label_aware_loss(alpha):
    logits, embeddings, weighting_logits, labels = batch()
    loss, parts = Objective("lcl", alpha=alpha)(logits, embeddings, weighting_logits, labels)
    classification = F.cross_entropy(logits, labels) + F.cross_entropy(weighting_logits, labels)
    contrastive = label_aware_contrastive_loss(embeddings, labels, weighting_logits)
    torch.testing.assert_close(loss, alpha * classification + (1 - alpha) * contrastive)
    assert set(parts) == {"loss_ce", "loss_weighting", "loss_contrastive"} | STATISTICS


def test_weighting_that_is_not_trained_has_no_cross_entropy_of_its_own():
    logits, embeddings, weighting_logits, labels = batch()
    objective = Objective("lcl", alpha=0.2, weighting_is_trained=False)
    loss, parts = objective(logits, embeddings, weighting_logits, labels)
    contrastive = label_aware_contrastive_loss(embeddings, labels, weighting_logits)
    torch.testing.assert_close(loss, 0.2 * F.cross_entropy(logits, labels) + 0.8 * contrastive)
    assert "loss_weighting" not in parts


@pytest.mark.parametrize("weighting_is_trained", [True, False])
@pytest.mark.parametrize("name", ["ce", "scl", "lcl"])
def test_parts_add_up_to_the_loss(name, weighting_is_trained):
    objective = Objective(name, alpha=0.3, weighting_is_trained=weighting_is_trained)
    loss, parts = objective(*batch())
    part = values(parts)
    expected = part["loss_ce"]
    if name != "ce":
        expected = 0.3 * (expected + part.get("loss_weighting", 0)) + 0.7 * part["loss_contrastive"]
    assert loss.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", ["ce", "scl", "lcl"])
def test_only_the_loss_has_a_gradient(name):
    loss, parts = Objective(name)(*batch())
    assert loss.requires_grad
    assert not any(part.value.requires_grad for part in parts.values())


def test_alpha_one_trains_classifier_and_weighting_network_by_cross_entropy():
    logits, embeddings, weighting_logits, labels = batch()
    Objective("lcl", alpha=1.0)(logits, embeddings, weighting_logits, labels)[0].backward()
    expected = (weighting_logits.detach().softmax(dim=1) - F.one_hot(labels, 5)) / len(labels)
    torch.testing.assert_close(weighting_logits.grad, expected)
    assert logits.grad.abs().sum() > 0
    assert embeddings.grad is None or embeddings.grad.abs().sum() == 0


def test_alpha_zero_leaves_the_classifier_alone():
    logits, embeddings, weighting_logits, labels = batch()
    Objective("lcl", alpha=0.0)(logits, embeddings, weighting_logits, labels)[0].backward()
    assert logits.grad is None or logits.grad.abs().sum() == 0
    assert embeddings.grad.abs().sum() > 0


@pytest.mark.parametrize("name", ["scl", "lcl"])
def test_options_reach_the_contrastive_loss(name):
    logits, embeddings, weighting_logits, labels = batch()
    options = {"temperature": 0.07, "normalize": False, "temperature_scaling": "positives"}
    objective = Objective(name, weight_placement="inside", **options)
    _, parts = objective(logits, embeddings, weighting_logits, labels)
    expected = {
        "scl": supervised_contrastive_loss(embeddings, labels, **options),
        "lcl": label_aware_contrastive_loss(
            embeddings, labels, weighting_logits, weight_placement="inside", **options
        ),
    }
    assert parts["loss_contrastive"].value.item() == expected[name].item()


def test_detached_weights_are_trained_by_their_cross_entropy_alone():
    logits, embeddings, weighting_logits, labels = batch()
    Objective("lcl", alpha=0.5, detach_weights=True)(logits, embeddings, weighting_logits, labels)[0].backward()
    expected = 0.5 * (weighting_logits.detach().softmax(dim=1) - F.one_hot(labels, 5)) / len(labels)
    torch.testing.assert_close(weighting_logits.grad, expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("class_weights", [[1.0, 1.0, 1.0, 1.0, 1.0], [0.5, 2.0, 0.0, 3.0, 1.0]])
def test_class_weights_and_smoothing_act_on_both_cross_entropies(class_weights, smoothing):
    logits, embeddings, weighting_logits, labels = batch()
    class_weights = torch.tensor(class_weights)
    objective = Objective("lcl", class_weights=class_weights, label_smoothing=smoothing)
    part = values(objective(logits, embeddings, weighting_logits, labels)[1])
    expected = cross_entropy_by_hand(logits, labels, class_weights, smoothing)
    expected_weighting = cross_entropy_by_hand(weighting_logits, labels, class_weights, smoothing)
    assert part["loss_ce"] == pytest.approx(expected, rel=1e-5)
    assert part["loss_weighting"] == pytest.approx(expected_weighting, rel=1e-5)
    assert part["loss_contrastive"] == values(Objective("lcl")(*batch())[1])["loss_contrastive"]


@pytest.mark.parametrize("name", ["ce", "scl", "lcl"])
@pytest.mark.parametrize("autocast", [True, False])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_outputs_give_the_fp32_loss_of_their_rounded_values(name, dtype, autocast):
    tensors = batch(dtype)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        loss, _ = Objective(name)(*tensors)
    expected, _ = Objective(name)(*(tensor.float() for tensor in tensors[:3]), LABELS)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("name", ["scl", "lcl"])
def test_batch_without_positives_trains_the_classifier_and_reports_no_valid_anchor(name):
    logits, embeddings, weighting_logits, _ = batch()
    loss, parts = Objective(name)(logits[:5], embeddings[:5], weighting_logits[:5], torch.arange(5))
    loss.backward()
    assert parts["loss_contrastive"].value.item() == 0
    assert parts["valid_anchors"].value.item() == 0
    assert logits.grad.abs().sum() > 0
    assert all(tensor.grad.isfinite().all() for tensor in (logits, embeddings))


def test_statistics_are_those_of_all_pairs():
    embeddings = batch()[1].detach()
    embeddings[6] = 0  # Its cosine with any other is 0.
    cosines = {True: [], False: []}
    for i in range(len(LABELS)):
        for k in range(len(LABELS)):
            if i != k:
                cosine = F.cosine_similarity(embeddings[i], embeddings[k], dim=0).item()
                cosines[LABELS[i].item() == LABELS[k].item()].append(cosine)
    part = batch_statistics(embeddings, LABELS, num_labels=5)
    assert values(part) == pytest.approx(
        {
            "valid_anchors": 7 / 8,
            "positives_per_anchor": (3 * 2 + 2 * 1 + 2 * 1) / 8,
            "candidates_per_anchor": 7,
            "positive_similarity": sum(cosines[True]) / len(cosines[True]),
            "negative_similarity": sum(cosines[False]) / len(cosines[False]),
        },
        abs=1e-6,
    )
    weights = {"positive_similarity": len(cosines[True]), "negative_similarity": len(cosines[False])}
    assert {name: float(p.weight) for name, p in part.items()} == dict.fromkeys(STATISTICS, 8.0) | weights


@pytest.mark.parametrize(
    ("labels", "absent"),
    [
        ([0, 1, 2, 3], {"positive_similarity"}),
        ([1, 1, 1, 1], {"negative_similarity"}),
        ([2], {"positive_similarity", "negative_similarity"}),
    ],
    ids=["all alone", "one class", "one text"],
)
def test_similarity_of_pairs_that_do_not_exist_has_weight_zero(labels, absent):
    embeddings = torch.randn(len(labels), 6, generator=torch.Generator().manual_seed(0))
    parts = batch_statistics(embeddings, torch.tensor(labels), num_labels=4)
    assert {name for name, part in parts.items() if float(part.weight) == 0} == absent
    assert all(part.value.isfinite() for part in parts.values())


# Classes of unequal size

WEIGHTS = torch.tensor([0.5, 2.0, 1.0, 3.0, 1.5], dtype=torch.float64)
LOG_PRIORS = torch.tensor([0.4, 0.3, 0.2, 0.05, 0.05], dtype=torch.float64).log()
OF_CROSS_ENTROPY = [
    {"logit_adjustment": LOG_PRIORS},
    {"logit_adjustment": LOG_PRIORS, "label_smoothing": 0.1, "class_weights": WEIGHTS},
    {"focal_gamma": 2.0},
    {"focal_gamma": 0.5, "class_weights": WEIGHTS},
    {"focal_gamma": 1.5, "class_weights": WEIGHTS, "logit_adjustment": LOG_PRIORS},
]


def loss_by_hand(logits, labels, class_weights=None, label_smoothing=0.0, logit_adjustment=None, focal_gamma=0.0):
    """Number by number: adjusted logits, then the focal or the smoothed logarithm, then a mean weighted by class."""
    num_labels, total, weight_sum = logits.shape[1], 0.0, 0.0
    v = [1.0] * num_labels if class_weights is None else class_weights.tolist()
    adjustment = [0.0] * num_labels if logit_adjustment is None else logit_adjustment.tolist()
    for row, label in zip(logits.tolist(), labels.tolist()):
        exponentials = [math.exp(z + a) for z, a in zip(row, adjustment)]
        p = [e / sum(exponentials) for e in exponentials]
        total -= (1 - label_smoothing) * v[label] * (1 - p[label]) ** focal_gamma * math.log(p[label])
        total -= label_smoothing / num_labels * sum(v[c] * math.log(p[c]) for c in range(num_labels))
        weight_sum += v[label]
    return total / weight_sum


@pytest.mark.parametrize("options", OF_CROSS_ENTROPY)
def test_options_of_cross_entropy_act_on_both_by_their_formulas(options):
    logits, embeddings, weighting_logits, labels = batch(torch.float64)
    part = values(Objective("lcl", **options)(logits, embeddings, weighting_logits, labels)[1])
    assert part["loss_ce"] == pytest.approx(loss_by_hand(logits, labels, **options), rel=1e-12)
    assert part["loss_weighting"] == pytest.approx(loss_by_hand(weighting_logits, labels, **options), rel=1e-12)
    plain = values(Objective("lcl")(logits, embeddings, weighting_logits, labels)[1])
    assert part["loss_contrastive"] == plain["loss_contrastive"]


@pytest.mark.parametrize("options", OF_CROSS_ENTROPY)
def test_gradients_of_the_options_are_those_of_finite_differences(options):
    logits, embeddings, _, labels = batch(torch.float64)
    assert torch.autograd.gradcheck(lambda x: Objective("ce", **options)(x, embeddings, None, labels)[0], (logits,))


def test_adjusted_logits_learn_what_the_priors_do_not_tell():
    """The paper's point: where texts tell nothing, the logits come out equal and not as the classes' shares."""
    labels = torch.tensor([0] * 6 + [1] * 3 + [2])
    bias = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    priors = torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64)
    objective = Objective("ce", logit_adjustment=priors.log())
    loss, _ = objective(bias.expand(10, 3), torch.zeros(10, 1), None, labels)
    loss.backward()
    assert bias.grad.abs().max() < 1e-15


def test_focal_loss_without_focus_is_cross_entropy():
    logits, embeddings, _, labels = batch(torch.float64)
    loss, _ = Objective("ce", focal_gamma=1e-12, class_weights=WEIGHTS)(logits, embeddings, None, labels)
    torch.testing.assert_close(loss, F.cross_entropy(logits, labels, weight=WEIGHTS), rtol=1e-10, atol=0)


@pytest.mark.parametrize("gamma", [0.1, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("margin", [20.0, 100.0, 1e4])
def test_focal_loss_of_texts_that_are_certain_has_a_finite_gradient(margin, gamma):
    logits = torch.tensor([[margin, 0.0, 0.0], [-margin, 0.0, 0.0]], requires_grad=True)
    loss, _ = Objective("ce", focal_gamma=gamma)(logits, torch.zeros(2, 1), None, torch.tensor([0, 0]))
    loss.backward()
    assert loss.isfinite()
    assert logits.grad.isfinite().all()
    # The text that is right teaches nothing, and the one that is wrong as much as it does cross-entropy.
    assert logits.grad[0].abs().max() < 0.1
    torch.testing.assert_close(logits.grad[1], torch.tensor([-0.5, 0.25, 0.25]))


@pytest.mark.parametrize("options", [{}, *OF_CROSS_ENTROPY])
def test_options_of_cross_entropy_in_half_precision_are_computed_in_fp32(options):
    logits, embeddings, _, labels = batch(torch.bfloat16)
    loss, _ = Objective("ce", **options)(logits, embeddings, None, labels)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(loss_by_hand(logits, labels, **options), rel=1e-5)


def test_focal_loss_and_label_smoothing_exclude_each_other():
    with pytest.raises(ValueError, match=r"focal_gamma=2.0.*label_smoothing=0.1.*set one of them to 0"):
        Objective("ce", focal_gamma=2.0, label_smoothing=0.1)


def test_focal_gamma_is_not_negative():
    with pytest.raises(ValueError, match=r"focal_gamma=-1.0 cannot be negative"):
        Objective("ce", focal_gamma=-1.0)


# Views: the second half of the rows are the texts of the first half once more


def views(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Four texts and their second views, in the order in which an objective takes them."""
    *tensors, _ = batch(dtype)
    return *tensors, torch.tensor([0, 1, 2, 0, 0, 1, 2, 0])


@pytest.mark.parametrize("options", [{}, {"class_weights": WEIGHTS, "label_smoothing": 0.1}, *OF_CROSS_ENTROPY])
@pytest.mark.parametrize("name", ["scl", "lcl"])
def test_cross_entropies_count_each_text_once_or_each_view(name, options):
    logits, embeddings, weighting_logits, labels = views()
    for ce_on_views, rows in ((False, 4), (True, 8)):
        objective = Objective(name, alpha=0.3, ce_on_views=ce_on_views, **options)
        loss, parts = objective(logits, embeddings, weighting_logits, labels, views=2)
        part = values(parts)
        assert part["loss_ce"] == pytest.approx(loss_by_hand(logits[:rows], labels[:rows], **options), rel=1e-12)
        classification = part["loss_ce"]
        if name == "lcl":
            expected = loss_by_hand(weighting_logits[:rows], labels[:rows], **options)
            assert part["loss_weighting"] == pytest.approx(expected, rel=1e-12)
            classification += expected
        assert loss.item() == pytest.approx(0.3 * classification + 0.7 * part["loss_contrastive"], rel=1e-12)


def test_views_of_one_text_are_positives_of_each_other():
    logits, embeddings, _, _ = views()
    labels = torch.arange(4).repeat(2)  # No text has another of its class.
    _, parts = Objective("scl")(logits, embeddings, None, labels, views=2)
    unit = F.normalize(embeddings.detach(), dim=1)
    similarities = (unit @ unit.T / 0.3).fill_diagonal_(-torch.inf)
    expected = -similarities.log_softmax(dim=1)[torch.arange(8), torch.arange(8).roll(4)].mean()
    torch.testing.assert_close(parts["loss_contrastive"].value, expected)
    assert values(parts)["valid_anchors"] == 1
    assert values(parts)["positives_per_anchor"] == 1


def test_views_that_do_not_count_leave_the_classifier_alone():
    logits, embeddings, _, labels = views()
    Objective("ce")(logits, embeddings, None, labels, views=2)[0].backward()
    assert logits.grad[4:].abs().sum() == 0
    torch.testing.assert_close(logits.grad[:4], (logits.detach().softmax(dim=1) - F.one_hot(labels, 5))[:4] / 4)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"class_weights": WEIGHTS, "label_smoothing": 0.1},
        {"weight_placement": "inside", "temperature_scaling": "positives"},
        *OF_CROSS_ENTROPY,
    ],
)
@pytest.mark.parametrize("ce_on_views", [False, True])
@pytest.mark.parametrize("name", ["ce", "scl", "lcl"])
def test_processes_share_the_loss_of_the_whole_batch(name, ce_on_views, options):
    """Two processes with three texts and one: the mean of their losses is that of one process, gradients included."""
    objective = Objective(name, ce_on_views=ce_on_views, **options)
    *tensors, labels = views()
    expected, _ = objective(*tensors, labels, views=2)
    expected.backward()
    gradients = [tensor.grad for tensor in tensors]

    # Each process has its texts, then their second views.
    of_process = [torch.tensor(rows) for rows in ([0, 1, 2, 4, 5, 6], [3, 7])]
    everybody = torch.cat(of_process)
    leaves = [tensor.detach().clone().requires_grad_() for tensor in tensors]
    losses, start = [], 0
    for rows in of_process:
        logits, embeddings, weighting_logits = (leaf[rows] for leaf in leaves)
        candidates = Candidates(
            leaves[1][everybody],
            labels[everybody],
            anchor_positions=torch.arange(start, start + len(rows)),
            batch_size=8,
            processes=2,
        )
        losses.append(objective(logits, embeddings, weighting_logits, labels[rows], candidates, views=2)[0])
        start += len(rows)
    loss = torch.stack(losses).mean()
    loss.backward()
    torch.testing.assert_close(loss, expected)
    for leaf, gradient in zip(leaves, gradients):
        torch.testing.assert_close(leaf.grad, gradient)
