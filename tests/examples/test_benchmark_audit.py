"""The benchmark of wrong labels: what it flips, and a run of it on made-up texts."""

import json

import numpy as np
import pytest


pytest.importorskip("cleanlab")
import audit


def test_labels_are_flipped_to_another_class_or_to_the_nearest_one():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 50)
    centres = np.array([[1, 0, 0], [0.9, 0.4, 0], [0, 0, 1], [0, 0.4, 0.9]])
    data = {"train_labels": labels, "train_embeddings": centres[labels] + rng.normal(scale=0.01, size=(200, 3))}
    for noise in audit.NOISE:
        flipped = audit.flip(data, noise, 0)
        changed = np.flatnonzero(flipped != labels)
        assert len(changed) == 10
        if noise == "nearest class":
            assert (flipped[changed] == np.array([1, 0, 3, 2])[labels[changed]]).all()
    assert (audit.flip(data, "any class", 0) != audit.flip(data, "any class", 1)).any()


def test_a_prior_ranks_a_close_class_before_a_far_one():
    """Two texts are as surely of another class; of the first one, the label is a class that is often mixed up."""
    probabilities = np.array([[0.25, 0.7, 0.05], [0.7, 0.25, 0.05], [0.7, 0.05, 0.25], [0.05, 0.05, 0.9]])
    labels = np.array([0, 1, 2, 2])
    plain, close = (audit.with_prior(probabilities, labels, power) for power in (0.0, 1.0))
    assert plain[1] == pytest.approx(plain[2])
    assert close[1] > close[2]


@pytest.mark.slow
def test_runs_are_kept_and_tabled(tmp_path, data_dir, encoder_folder, monkeypatch):
    results = tmp_path / "audit.jsonl"
    flags = [f"--encoder={encoder_folder}", f"--data_dir={data_dir}", f"--results={results}", "--pool=emoint"]
    flags += ["--datasets=emoint", "--seeds=0", f"--cache={tmp_path / 'cache'}"]
    monkeypatch.setattr(audit, "START", 10)
    monkeypatch.setattr(audit, "ROUND", 5)
    monkeypatch.setattr(audit, "TIMED", {"data": "emoint", "rows": 20, "planted": 2})
    audit.main(flags)
    found = [json.loads(line) for line in results.read_text().splitlines()]
    kinds = [*audit.NOISE, *audit.STRATEGIES, None]
    assert [run["settings"].get("noise", run["settings"].get("strategy")) for run in found] == kinds
    assert found[0]["flipped"] == round(0.05 * found[0]["texts"])
    assert 0 <= found[0]["rankings"]["ours"]["auroc"] <= 1
    assert found[2]["accuracy"][0] == found[3]["accuracy"][0]
    seconds = found[4]["processor_seconds"]
    assert 0.5 * sum(seconds.values()) < seconds["the command"] < sum(seconds.values())  # of which it is one half
    first, page = results.read_bytes(), (tmp_path / "audit.md").read_text()
    audit.main(flags)
    assert results.read_bytes() == first
    assert (tmp_path / "audit.md").read_text() == page
    assert f"| emoint | any class | ours | {found[0]['rankings']['ours']['precision_at_k']:.1%} |" in page
