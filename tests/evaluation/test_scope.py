"""Out-of-scope texts: rules and their thresholds, scores and their metrics."""

import numpy as np
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from hf_lcl.evaluation.inference import ModelOutputs
from hf_lcl.evaluation.report import deciding
from hf_lcl.evaluation.report.sections import Evaluated
from hf_lcl.evaluation.scope import Rule, scope_metrics, scope_scores, scope_table, with_out_of_scope


RNG = np.random.default_rng(0)
KNOWN, FOREIGN = RNG.normal(3, 1, 203), RNG.normal(0, 1, 57)


@pytest.mark.parametrize("text", ["keep", "keep=1", "keep=0", "keep=95", "recall=x", "f1=0.5", "best", ""])
def test_what_is_no_rule_is_refused(text):
    with pytest.raises(ValueError, match=r"is no rule: use keep=0\.95, recall=0\.9, f1 or none"):
        Rule.parse(text)


def test_the_cut_keeps_or_finds_what_the_rule_says():
    for share in (0.9, 0.95, 0.99):
        kept = (Rule("keep", share).cut(KNOWN) <= KNOWN).mean()
        assert share <= kept < share + 1 / len(KNOWN)
    for share in (0.5, 0.9, 0.95):
        found = (Rule("recall", share).cut(KNOWN, FOREIGN) > FOREIGN).mean()
        assert share <= found < share + 1 / len(FOREIGN)


def test_texts_that_are_alike_are_on_one_side():
    noise = np.float32(1e-6) * RNG.normal(size=30).astype(np.float32)
    assert (Rule("keep", 0.9).cut(noise) < noise).all()
    assert (Rule("recall", 0.9).cut(noise + 1, noise) > noise).all()


def test_no_other_cut_has_a_better_f1():
    is_foreign = np.repeat([0, 1], [len(KNOWN), len(FOREIGN)])
    scores = np.concatenate([KNOWN, FOREIGN])
    best = max(f1_score(is_foreign, scores < cut) for cut in scores[::4])
    assert f1_score(is_foreign, scores < Rule("f1").cut(KNOWN, FOREIGN)) >= best


def test_too_few_texts_are_told_how_many_it_takes():
    with pytest.raises(
        ValueError, match=r"needs 20 validation texts or more, and there are 12\. .* or use keep=0\.91"
    ):
        Rule.parse("keep=0.95").cut(KNOWN[:12])
    assert Rule.parse("keep=0.91").cut(KNOWN[:12]) > KNOWN[:12].min()
    assert Rule.parse("keep=0.95").cut(KNOWN[:20]) > KNOWN[:20].min()
    with pytest.raises(ValueError, match="needs 10 out-of-scope texts or more, and there are 4"):
        Rule.parse("recall=0.9").cut(KNOWN, FOREIGN[:4])
    for rule in ("f1", "recall=0.9"):
        with pytest.raises(ValueError, match=f"out_of_scope={rule} needs texts of no class: give --oos_file"):
            Rule.parse(rule).cut(KNOWN)


def test_figures_of_a_score():
    found = scope_metrics(KNOWN, FOREIGN)
    is_foreign = np.repeat([0, 1], [len(KNOWN), len(FOREIGN)])
    assert found["auroc"] == pytest.approx(roc_auc_score(is_foreign, -np.concatenate([KNOWN, FOREIGN])))
    cut = np.sort(KNOWN)[int(0.05 * (len(KNOWN) - 1))]
    assert found["oos_recall_at_95_kept"] == pytest.approx((cut > FOREIGN).mean())
    assert found["fpr_at_95_kept"] == pytest.approx(1 - found["oos_recall_at_95_kept"])
    perfect = scope_metrics(np.array([2.0, 3.0]), np.array([0.0, 1.0]))
    assert list(perfect.values()) == [1, 1, 0, 1]


def test_every_score_finds_texts_that_are_far_from_all_classes():
    centres = 4 * np.eye(8)[:3]
    labels = np.repeat([0, 1, 2], 20)
    trained, known = (centres[labels] + RNG.normal(0, 0.5, (60, 8)) for _ in range(2))
    foreign = 4 * np.eye(8)[[5, 6, 7] * 10] + RNG.normal(0, 0.5, (30, 8))
    logits = [embeddings @ centres.T for embeddings in (known, foreign)]
    scores = [scope_scores(*of, (trained, labels)) for of in zip(logits, (known, foreign))]
    table = scope_table(*scores)
    assert len(table) == 6
    assert all(row["auroc"] > 0.99 for row in table)
    assert table[0]["auroc_difference"] == 0
    np.testing.assert_allclose(scores[0]["energy"], np.log(np.exp(logits[0]).sum(axis=1)))


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_learned_class_for_out_of_scope_texts_is_none_of_the_classes(place):
    """All texts are answered right, and texts of no class have the largest logit of all."""
    rng, known = np.random.default_rng(0), [label for label in range(3) if label != place]
    references = np.array([*known * 20, *[place] * 15])
    logits = rng.normal(size=(len(references), 3)) + 4 * np.eye(3)[references]
    logits[references == place, place] += 10
    test = Evaluated("test", references, ModelOutputs(logits, rng.normal(size=(len(references), 4))), ["a", "b", "c"])
    (section,), facts = deciding.scope(test, known, None, None, None)
    assert facts["scope"][0]["auroc"] > 0.95
    assert "of the 40 texts of a class" in section.text


def test_logits_get_a_class_of_a_fixed_logit():
    logits = with_out_of_scope(np.array([[4.0, 2.0], [1.0, 0.0]]), 2.0, 0.75)
    np.testing.assert_array_equal(logits, [[2, 1, 0.75], [0.5, 0, 0.75]])
