"""The training objective: how its parts add up to the loss, and the statistics of a batch."""

import pytest
import torch
import torch.nn.functional as F
from cost import Meter
from formula import both, formula, label_sets, scl
from torch import Tensor

from hf_lcl import label_aware_contrastive_loss
from hf_lcl.losses import blockwise, log_ratios
from hf_lcl.losses.objective import Candidates, Objective, batch_statistics, cross_entropy_of_names


# Class 3 has one text, class 4 none.
LABELS = torch.tensor([0, 1, 2, 0, 1, 2, 0, 3])
# The same as indicator rows, but one text has class 4 as a second label, and text 6 has none.
ROWS = F.one_hot(LABELS, 5)
ROWS[[0, 4, 5], [1, 4, 0]] = 1
ROWS[6] = 0
WEIGHTS = torch.tensor([0.5, 2.0, 1.0, 3.0, 1.5])
STATISTICS = {
    "valid_anchors",
    "positives_per_anchor",
    "candidates_per_anchor",
    "positive_similarity",
    "negative_similarity",
}
OF_CROSS_ENTROPY = pytest.mark.parametrize(
    "options",
    [{}, {"class_weights": WEIGHTS}, {"class_weights": WEIGHTS, "label_smoothing": 0.1}],
    ids=["plain", "weighted", "smooth"],
)
NAMES = pytest.mark.parametrize("name", ["ce", "scl", "lcl"])


def batch(several: bool, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Logits, embeddings, weighting logits and labels, in the order of the arguments of an objective."""
    generator = torch.Generator().manual_seed(0)
    shapes = ((8, 5), (8, 6), (8, 5))
    tensors = [torch.randn(shape, generator=generator).to(dtype).requires_grad_() for shape in shapes]
    return *tensors, ROWS if several else LABELS


def values(parts: dict) -> dict[str, float]:
    return {name: part.value.item() for name, part in parts.items()}


def cross_entropy_by_hand(logits: Tensor, labels: Tensor, class_weights=None, label_smoothing=0.0) -> Tensor:
    """
    As documented by torch: the mean over texts is weighted by class. For indicator rows, the mean over texts and
    classes, in which each 1 is weighted by its class.
    """
    logits = logits.double()
    w = torch.ones(logits.shape[1]) if class_weights is None else class_weights
    if labels.dim() == 2:
        p, y = logits.sigmoid(), labels * (1 - label_smoothing) + label_smoothing / 2
        return -(w * y * p.log() + (1 - y) * (1 - p).log()).mean()
    total, weight, num_labels = 0, 0, len(w)
    for row, label in zip(logits, labels.tolist()):
        log_p = row - row.exp().sum().log()
        smooth = sum(w[c] * log_p[c] for c in range(num_labels)) / num_labels
        total = total - (1 - label_smoothing) * w[label] * log_p[label] - label_smoothing * smooth
        weight += w[label]
    return total / weight


def loss_by_hand(name, alpha, logits, embeddings, weighting_logits, labels, texts=None, **options) -> Tensor:
    """The whole objective; the cross-entropies include only the rows in `texts`."""
    texts = slice(None) if texts is None else texts
    classification = cross_entropy_by_hand(logits[texts], labels[texts], **options)
    if name == "ce":
        return classification
    if name == "lcl":
        classification = classification + cross_entropy_by_hand(weighting_logits[texts], labels[texts], **options)
    loss = scl if name == "scl" else label_aware_contrastive_loss
    return alpha * classification + (1 - alpha) * formula(loss, embeddings, labels, weighting_logits)


def test_ce_is_cross_entropy_to_the_last_bit_and_nothing_else(several):
    logits, embeddings, _, labels = batch(several, torch.float32)
    loss, parts = Objective("ce", alpha=0.3)(logits, embeddings, None, labels)
    expected = F.binary_cross_entropy_with_logits if several else F.cross_entropy
    assert torch.equal(loss, expected(logits, labels.float() if several else labels))
    assert values(parts) == {"loss_ce": loss.item()}


@NAMES
@OF_CROSS_ENTROPY
@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_loss_and_gradients_are_those_of_the_formula(name, several, alpha, options):
    inputs, exact = batch(several), batch(several)
    loss, parts = Objective(name, alpha=alpha, **options)(*inputs)
    expected = loss_by_hand(name, alpha, *exact, **options)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    expected.backward()
    for ours, precise in zip(inputs[:3], exact[:3]):
        zero = torch.zeros_like(ours)
        torch.testing.assert_close(*(zero if x.grad is None else x.grad for x in (ours, precise)))
    named = {"ce": set(), "scl": {"loss_contrastive"}, "lcl": {"loss_contrastive", "loss_weighting"}}[name]
    assert set(parts) == {"loss_ce"} | named | (STATISTICS if named else set())
    assert not any(part.value.requires_grad for part in parts.values())


@NAMES
@OF_CROSS_ENTROPY
@pytest.mark.parametrize("has_candidates", [False, True])
def test_nothing_is_read_from_the_device_before_the_backward_pass(name, several, options, has_candidates):
    """The step reads from the device once, after the backward pass."""
    logits, embeddings, weighting_logits, labels = batch(several)
    candidates = Candidates(embeddings, labels, torch.arange(8), batch_size=8) if has_candidates else None
    with Meter() as meter:
        loss, _ = Objective(name, **options)(logits, embeddings, weighting_logits, labels, candidates)
        loss.backward()
    assert meter.reads == 0


def test_there_is_no_matrix_of_all_pairs(several, monkeypatch):
    monkeypatch.setattr(log_ratios, "DIRECT_PAIRS", 0)
    monkeypatch.setattr(blockwise, "CPU_BLOCK_BYTES", 4 * 8 * 128)  # eight rows
    logits, embeddings, weighting_logits, labels = (torch.cat([x] * 16) for x in batch(several, torch.float32))
    with Meter() as meter:
        Objective("lcl")(logits, embeddings, weighting_logits, labels)[0].backward()
    assert meter.largest == 8 * 128


def test_weighting_that_is_not_trained_has_no_cross_entropy_of_its_own(several):
    logits, embeddings, weighting_logits, labels = batch(several)
    objective = Objective("lcl", alpha=0.2, weighting_is_trained=False)
    loss, parts = objective(logits, embeddings, weighting_logits, labels)
    contrastive = formula(label_aware_contrastive_loss, embeddings, labels, weighting_logits)
    torch.testing.assert_close(loss, 0.2 * cross_entropy_by_hand(logits, labels) + 0.8 * contrastive)
    assert "loss_weighting" not in parts


@both
def test_options_reach_the_contrastive_loss(loss, several):
    logits, embeddings, weighting_logits, labels = batch(several)
    options = {"temperature": torch.tensor(0.7), "normalize": False}
    objective = Objective("scl" if loss is scl else "lcl", **options)
    _, parts = objective(logits, embeddings, weighting_logits, labels)
    expected = formula(loss, embeddings, labels, weighting_logits, **options)
    torch.testing.assert_close(parts["loss_contrastive"].value, expected.detach())


def gradient_of_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """By the chain rule: probabilities minus targets, divided by the number of terms of the mean."""
    logits = logits.detach()
    if labels.dim() == 2:
        return (logits.sigmoid() - labels) / labels.numel()
    return (logits.softmax(dim=1) - F.one_hot(labels, logits.shape[1])) / len(labels)


def test_detached_weights_are_trained_by_their_cross_entropy_alone(several):
    logits, embeddings, weighting_logits, labels = batch(several)
    Objective("lcl", alpha=0.3, detach_weights=True)(logits, embeddings, weighting_logits, labels)[0].backward()
    torch.testing.assert_close(weighting_logits.grad, 0.3 * gradient_of_cross_entropy(weighting_logits, labels))


def test_label_aware_objective_without_weighting_logits_is_refused():
    logits, embeddings, _, labels = batch(several=False)
    with pytest.raises(ValueError, match='objective="lcl" needs weighting logits'):
        Objective("lcl")(logits, embeddings, None, labels)


@NAMES
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_outputs_give_the_fp32_loss_of_their_rounded_values(name, several, dtype):
    for autocast in (True, False):
        tensors = batch(several, dtype)
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            loss, _ = Objective(name, alpha=0.3)(*tensors)
        assert loss.dtype == torch.float32
        assert loss.item() == pytest.approx(loss_by_hand(name, 0.3, *tensors).item(), rel=1e-5)


@NAMES
@pytest.mark.parametrize(
    ("rows", "several"), [(0, False), (0, True), (1, False)], ids=["no texts", "no rows", "a class of weight 0"]
)
def test_batch_of_no_weight_gives_zero_and_zero_gradients(name, rows, several):
    *tensors, labels = batch(several, torch.float32)
    inputs = [x.detach()[:rows].requires_grad_() for x in tensors]
    weights = torch.tensor([0.0, 1.0, 1.0, 1.0, 1.0]) if rows else None
    for smoothing in (0.0, 0.1):
        objective = Objective(name, class_weights=weights, label_smoothing=smoothing)
        loss, parts = objective(*inputs, labels[:rows])
        loss.backward()
        assert loss.item() == 0
        assert all(torch.as_tensor(part.value).isfinite() for part in parts.values())
        assert not any(x.grad is not None and x.grad.any() for x in inputs)


@pytest.mark.parametrize("name", ["scl", "lcl"])
def test_batch_without_positives_trains_the_classifier_and_reports_no_valid_anchor(name, several):
    *tensors, _ = batch(several)
    inputs = [x.detach()[:5].requires_grad_() for x in tensors]
    labels = torch.arange(5)
    if several:  # text 2 has two labels, text 4 none
        labels = F.one_hot(labels, 5).index_put((torch.tensor([2, 4]), torch.tensor([4, 4])), torch.tensor([1, 0]))
    loss, parts = Objective(name)(*inputs, labels)
    loss.backward()
    assert parts["loss_contrastive"].value.item() == 0
    assert parts["valid_anchors"].value.item() == 0
    torch.testing.assert_close(inputs[0].grad, 0.5 * gradient_of_cross_entropy(inputs[0], labels))
    assert not inputs[1].grad.any()


# Statistics


@pytest.mark.parametrize("rows", [list(range(8)), [2, 0, 7]], ids=["the batch alone", "more candidates"])
def test_statistics_are_those_of_all_pairs(several, rows):
    _, embeddings, _, labels = batch(several, torch.float32)
    embeddings, sets = embeddings.detach(), [set(each) for each in label_sets(labels)]
    embeddings[6] = 0  # has cosine 0 with all others
    cosines, positives = {True: [], False: []}, 0
    for i in rows:
        for k in range(8):
            if i != k:
                cosine = F.cosine_similarity(embeddings[i], embeddings[k], dim=0).item()
                cosines[bool(sets[i] & sets[k])].append(cosine)
                positives += bool(sets[i] & sets[k])
    candidates = Candidates(embeddings, labels, torch.tensor(rows), batch_size=8) if len(rows) < 8 else None
    part = batch_statistics(embeddings[rows], labels[rows], num_labels=5, candidates=candidates)
    assert values(part) == pytest.approx(
        {
            "valid_anchors": sum(any(sets[i] & sets[k] for k in range(8) if k != i) for i in rows) / len(rows),
            "positives_per_anchor": positives / len(rows),
            "candidates_per_anchor": 7,
            "positive_similarity": sum(cosines[True]) / len(cosines[True]),
            "negative_similarity": sum(cosines[False]) / len(cosines[False]),
        },
        abs=1e-6,
    )
    weights = {"positive_similarity": len(cosines[True]), "negative_similarity": len(cosines[False])}
    expected = dict.fromkeys(STATISTICS, float(len(rows))) | weights
    assert {name: float(p.weight) for name, p in part.items()} == expected


@pytest.mark.parametrize(
    ("labels", "absent"),
    [
        ([0, 1, 2, 3], {"positive_similarity"}),
        ([1, 1, 1, 1], {"negative_similarity"}),
        ([2], {"positive_similarity", "negative_similarity"}),
    ],
    ids=["all alone", "one class", "one text"],
)
def test_similarity_of_pairs_that_do_not_exist_has_weight_zero(labels, absent, several):
    embeddings = torch.randn(len(labels), 6, generator=torch.Generator().manual_seed(0))
    classes = torch.tensor(labels)
    parts = batch_statistics(embeddings, F.one_hot(classes, 4) if several else classes, num_labels=4)
    assert {name for name, part in parts.items() if float(part.weight) == 0} == absent
    assert all(part.value.isfinite() for part in parts.values())


# Views: the second half of the rows repeats the texts of the first half


@pytest.mark.parametrize("name", ["scl", "lcl"])
@OF_CROSS_ENTROPY
def test_cross_entropies_count_each_text_once(name, several, options):
    inputs, exact = batch(several), batch(several)
    labels = torch.cat([inputs[3][:4]] * 2)
    loss, _ = Objective(name, alpha=0.3, **options)(*inputs[:3], labels, views=2)
    expected = loss_by_hand(name, 0.3, *exact[:3], labels, texts=slice(4), **options)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    expected.backward()
    for ours, precise in zip(inputs[:3], exact[:3]):
        zero = torch.zeros_like(ours)
        torch.testing.assert_close(*(zero if x.grad is None else x.grad for x in (ours, precise)))


def test_views_of_one_text_are_positives_of_each_other(several):
    logits, embeddings, _, _ = batch(several)
    labels = torch.arange(4).repeat(2)  # no two texts share a class
    labels = F.one_hot(labels, 5) if several else labels
    _, parts = Objective("scl")(logits, embeddings, None, labels, views=2)
    unit = F.normalize(embeddings.detach(), dim=1)
    similarities = (unit @ unit.T / 0.3).fill_diagonal_(-torch.inf)
    expected = -similarities.log_softmax(dim=1)[torch.arange(8), torch.arange(8).roll(4)].mean()
    torch.testing.assert_close(parts["loss_contrastive"].value, expected)
    assert values(parts)["valid_anchors"] == 1
    assert values(parts)["positives_per_anchor"] == 1


# Names of the classes


class TestNames:
    """The last three rows are names, of the classes 0, 1 and 4; text 2 has no name of its class."""

    labels = torch.tensor([0, 1, 2, 1, 0, 0, 1, 4])
    is_name = torch.tensor([False] * 5 + [True] * 3)

    @pytest.mark.parametrize("name", ["scl", "lcl"])
    @pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
    def test_texts_are_compared_with_them(self, name, alpha):
        logits, embeddings, weighting_logits, _ = given = batch(several=False)
        inputs = logits, embeddings, weighting_logits, self.labels
        loss, parts = Objective(name, alpha=alpha)(*inputs, is_name=self.is_name)
        unit, losses = F.normalize(embeddings, dim=1), []
        for text in (0, 1, 3, 4):
            scores = {self.labels[row].item(): (unit[text] @ unit[row] / 0.1).exp() for row in (5, 6, 7)}
            losses.append(-(scores[self.labels[text].item()] / sum(scores.values())).log())
        of_names = sum(losses) / 4
        torch.testing.assert_close(parts["loss_names"].value, of_names)
        expected = Objective(name, alpha=alpha)(*inputs)[0] + (1 - alpha) * of_names
        torch.testing.assert_close(loss, expected)
        gradients = [torch.autograd.grad(each, given[1], retain_graph=True)[0] for each in (loss, expected)]
        torch.testing.assert_close(*gradients)

    def test_its_gradient_is_right(self):
        embeddings = batch(several=False)[1]
        assert torch.autograd.gradcheck(
            lambda rows: cross_entropy_of_names(rows, self.labels, self.is_name, 5), embeddings
        )

    def test_the_views_of_a_name_count_as_one(self):
        embeddings = batch(several=False)[1].detach()
        loss = cross_entropy_of_names(embeddings, self.labels, self.is_name, 5)
        twice = cross_entropy_of_names(*(torch.cat([each] * 2) for each in (embeddings, self.labels, self.is_name)), 5)
        torch.testing.assert_close(loss, twice)

    @pytest.mark.parametrize("mark", [False, True], ids=["no name", "no text"])
    def test_without_texts_or_names_it_is_zero(self, mark):
        embeddings = batch(several=False)[1]
        loss = cross_entropy_of_names(embeddings, self.labels, torch.full((8,), mark), 5)
        loss.backward()
        assert loss.item() == 0
        assert not embeddings.grad.any()

    def test_processes_share_their_names(self):
        """The second process has one text, of class 0, whose name is in the first process alone."""
        whole, rows = (batch(several=False)[1] for _ in range(2))
        cross_entropy_of_names(whole, self.labels, self.is_name, 5).backward()
        shares = torch.tensor([0, 1, 2, 3, 5, 6]), torch.tensor([4, 7])
        order, losses = torch.cat(shares), []
        everybody = rows[order], self.labels[order]
        for share in shares:
            names = Candidates(*everybody, share, batch_size=8, processes=2, is_name=self.is_name[order])
            losses.append(cross_entropy_of_names(rows[share], self.labels[share], self.is_name[share], 5, names))
        torch.stack(losses).mean().backward()
        torch.testing.assert_close(rows.grad, whole.grad)

    def test_nothing_is_read_from_the_device(self):
        logits, embeddings, weighting_logits, _ = batch(several=False)
        with Meter() as meter:
            Objective("lcl")(logits, embeddings, weighting_logits, self.labels, is_name=self.is_name)[0].backward()
        assert meter.reads == 0


# Several processes


@NAMES
@OF_CROSS_ENTROPY
@pytest.mark.parametrize("views", [1, 2])
def test_processes_share_the_loss_of_the_whole_batch(name, several, options, views):
    """With unequal shards, the mean loss of two processes is that of one process, and so are the gradients."""
    objective = Objective(name, alpha=0.3, **options)
    *tensors, labels = batch(several)
    if views == 1:  # text 7 has no positive; text 6 has none either if it has no label
        shares = [0, 1, 2, 3, 4], [5, 6, 7]
    else:  # each process has its texts, then their second views
        labels, shares = labels[[0, 6, 7, 3] * 2], ([0, 1, 2, 4, 5, 6], [3, 7])
    expected = loss_by_hand(name, 0.3, *tensors, labels, texts=slice(8 // views), **options)
    expected.backward()
    of_process = [torch.tensor(rows) for rows in shares]
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
        losses.append(objective(logits, embeddings, weighting_logits, labels[rows], candidates, views=views)[0])
        start += len(rows)
    loss = torch.stack(losses).mean()
    loss.backward()
    torch.testing.assert_close(loss, expected)
    for leaf, tensor in zip(leaves, tensors):
        zero = torch.zeros_like(leaf)
        torch.testing.assert_close(*(zero if x.grad is None else x.grad for x in (leaf, tensor)))


@pytest.mark.parametrize("name", ["scl", "lcl"])
@OF_CROSS_ENTROPY
def test_candidates_that_are_no_texts_of_the_batch_do_not_change_the_cross_entropies(name, several, options):
    logits, embeddings, weighting_logits, labels = batch(several)
    past = torch.randn(3, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    everything, classes = torch.cat([embeddings, past]), torch.cat([labels, labels[[7, 7, 4]]])
    candidates = Candidates(everything, classes, torch.arange(8), batch_size=8)
    objective = Objective(name, alpha=0.3, **options)
    part = values(objective(logits, embeddings, weighting_logits, labels, candidates)[1])
    assert part["loss_ce"] == pytest.approx(cross_entropy_by_hand(logits, labels, **options).item())
    loss = scl if name == "scl" else label_aware_contrastive_loss
    contrastive = formula(
        loss,
        embeddings,
        labels,
        weighting_logits,
        candidate_embeddings=everything,
        candidate_labels=classes,
        anchor_positions=torch.arange(8),
    )
    assert part["loss_contrastive"] == pytest.approx(contrastive.item())
