"""The benchmark of wrong labels: the labels that it flips, and a run on made-up texts."""

import json

import numpy as np
import pytest


pytest.importorskip("cleanlab")
import audit
import audit_fine_tuned
import audit_flips
import audit_large
import audit_next

from hf_lcl.evaluation.relations import class_means


def test_labels_are_flipped_to_another_class_or_to_the_nearest_one():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 50)
    centres = np.array([[1, 0, 0], [0.9, 0.4, 0], [0, 0, 1], [0, 0.4, 0.9]])
    data = {"train_labels": labels, "train_embeddings": centres[labels] + rng.normal(scale=0.01, size=(200, 3))}
    for noise in audit.NOISE:
        flipped = audit_flips.flip(data, noise, 0)
        changed = np.flatnonzero(flipped != labels)
        assert len(changed) == 10
        if noise == "nearest class":
            assert (flipped[changed] == np.array([1, 0, 3, 2])[labels[changed]]).all()
    assert (audit_flips.flip(data, "any class", 0) != audit_flips.flip(data, "any class", 1)).any()


def test_a_prior_ranks_a_close_class_before_a_far_one():
    """Both texts are equally likely of another class; the label of the first one is often confused with it."""
    probabilities = np.array([[0.25, 0.7, 0.05], [0.7, 0.25, 0.05], [0.7, 0.05, 0.25], [0.05, 0.05, 0.9]])
    labels = np.array([0, 1, 2, 2])
    relations = class_means(probabilities, labels, 3)
    plain, close = (audit_flips.margins(probabilities, labels, relations, power) for power in (0.0, 1.0))
    assert plain[1] == pytest.approx(plain[2])
    assert close[1] > close[2]


def test_an_index_is_judged_by_the_full_search():
    pytest.importorskip("faiss")
    run = {"rows": 20_000, "hidden": 16, "queries": 64}
    flat, few_lists = (audit_large.search(run | {"by": audit_large.SEARCHES[index]}) for index in (1, 2))
    assert flat["recall"] > 0.99
    assert 0 < flat["near_equal"] == flat["near_equal_found"]
    assert 0.1 < few_lists["recall"] < 0.99


@pytest.mark.slow
def test_a_large_file_is_measured_beside_a_small_one(encoder_folder):
    found = audit_large.command({"rows": 600, "few": 200}, encoder_folder)
    assert found["rows"]["file_bytes"] > 2.5 * found["few"]["file_bytes"]
    for one in found.values():
        assert one["processor_seconds"] > 1
        assert one["peak_bytes"] > 50 * 2**20
    lines = audit_large.large_markdown([{"settings": {"large": "command", "rows": 600, "few": 200}, **found}])
    assert f"{found['rows']['peak_bytes'] / 2**20:,.0f} MiB" in lines[0]


@pytest.mark.slow
def test_runs_are_kept_and_tabled(tmp_path, data_dir, encoder_folder, monkeypatch):
    results = tmp_path / "audit.jsonl"
    flags = [f"--encoder={encoder_folder}", f"--data_dir={data_dir}", f"--results={results}", "--pools=emoint"]
    flags += ["--datasets=emoint", "--again=emoint", "--seeds=0", f"--cache={tmp_path / 'cache'}"]
    monkeypatch.setattr(audit_next, "START", 10)
    monkeypatch.setattr(audit_next, "ROUND", 5)
    monkeypatch.setattr(audit_next, "POOLS", {"emoint": {}})
    monkeypatch.setattr(audit_fine_tuned, "TRAINING", {"epochs": 1, "learning_rate": 1e-3, "pooling": "mean"})
    monkeypatch.setattr(audit, "LARGE", [])
    monkeypatch.setattr(audit, "TIMED", {"data": "emoint", "rows": 20, "planted": 2})
    audit.main(flags)
    runs = [json.loads(line) for line in results.read_text().splitlines()]
    page = (tmp_path / "audit.md").read_text()

    frozen = [run for run in runs if "flags" in run]
    assert [run["settings"]["noise"] for run in frozen] == [*audit.NOISE]
    assert frozen[0]["flipped"] == round(0.05 * frozen[0]["texts"])
    assert 0 <= frozen[0]["rankings"]["ours"]["auroc"] <= 1
    assert f"| emoint | nearest class | ours | {frozen[0]['rankings']['ours']['precision_at_k']:.1%} |" in page

    tuned = {
        (run["settings"]["noise"], run["settings"]["objective"]): run["rankings"]
        for run in runs
        if "folds" in run["settings"]
    }
    assert list(tuned) == [(noise, name) for noise in audit.NOISE for name in audit_fine_tuned.OBJECTIVES]
    lcl, ce = (tuned["nearest class", name] for name in audit_fine_tuned.OBJECTIVES)
    assert set(ce) < set(lcl)
    assert sum("learned relations" in name for name in lcl) == 4
    assert f"| emoint | nearest class | lcl margin | {lcl['margin']['precision_at_k']:.1%} |" in page

    again = [run for run in runs if "mended" in run["settings"]]
    assert [run["settings"]["mended"] for run in again] == [*audit_fine_tuned.MENDED]
    reached = " | ".join(f"{run['accuracy']:.1%}" for run in again)
    assert f"| emoint | nearest class | {reached} |" in page

    chance, chosen = (run for run in runs if "strategy" in run["settings"])
    assert chance["accuracy"][0] == chosen["accuracy"][0]
    assert chance["labelled"] == [10, 15, 20, 25, 30, 35]
    (timed,) = (run for run in runs if "planted" in run["settings"])
    seconds = timed["processor_seconds"]
    assert (
        0.3 * sum(seconds.values()) < seconds["the command"] < sum(seconds.values())
    )  # of which it is about one half

    first = results.read_bytes()
    audit.main(flags)
    assert results.read_bytes() == first
    assert (tmp_path / "audit.md").read_text() == page
