"""The benchmark of several labels per text: its draws, and a run on made-up texts."""

import gzip
import json
import random

import numpy as np
import pytest
import several_labels
import several_labels_data
import torch
from datasets import Dataset, DatasetDict
from torch.nn import functional

from hf_lcl import label_aware_contrastive_loss


WORDS = {"angry": "furious rage", "glad": "sunny party cake", "proud": "medal won applause"}


@pytest.fixture
def folder(tmp_path):
    """The layout of the data set: texts with the words of none, one or two labels."""
    rng = random.Random(0)
    (tmp_path / several_labels_data.DATA).mkdir()
    for split, number in {"train": 60, "validation": 30, "test": 30}.items():
        with gzip.open(tmp_path / several_labels_data.DATA / f"{split}.jsonl.gz", "wt", encoding="utf-8") as file:
            for row in range(number):
                labels = rng.sample(sorted(WORDS), rng.choice([0, 1, 1, 2]))
                words = [rng.choice(WORDS[label].split()) for label in labels]
                file.write(json.dumps({"text": " ".join(["the", *words, str(row)]), "labels": labels}) + "\n")
    return tmp_path


def test_so_many_texts_have_each_label():
    labels = (np.random.default_rng(0).random((300, 4)) < [0.5, 0.3, 0.1, 0.01]).astype(float)
    drawn = several_labels_data.few_of_each_label(Dataset.from_dict({"label": labels.tolist()}), 16, seed=0)
    drawn = np.array(drawn["label"][:])
    assert (drawn.sum(axis=0) >= np.minimum(16, labels.sum(axis=0))).all()
    assert (drawn.sum(axis=1) == 0).sum() == 16
    assert len(drawn) <= 16 * 5


def test_words_that_names_of_intents_share_are_tags():
    intents = ["card_lost", "Card_arrival", "top_up_by_card", "top_up_failed", "top_up_limits", "age_limit"]
    splits = DatasetDict(train=Dataset.from_dict({"text": intents, "label": intents}))
    rows = several_labels_data.tagged(splits)["train"]
    assert rows["labels"][:] == [["card"], ["card"], ["card", "top"], ["top"], ["top"], []]
    assert rows.column_names == ["text", "labels"]


def test_sigmoid_weights_take_the_place_of_those_of_a_softmax():
    torch.manual_seed(0)
    embeddings, logits = functional.normalize(torch.randn(6, 8).double(), dim=1), torch.randn(6, 2).double()
    labels = torch.tensor([0, 1, 0, 1, 0, 1])
    with several_labels.weights_of("lcl-sigmoid"):
        found = label_aware_contrastive_loss(embeddings, labels, logits, reduction="none")
    weights, similarity = logits.sigmoid()[:, labels], (embeddings @ embeddings.T / 0.3).exp()
    ratios = (similarity / (weights * similarity * ~torch.eye(6, dtype=bool)).sum(dim=1, keepdim=True)).log()
    positives = (labels[:, None] == labels) & ~torch.eye(6, dtype=bool)
    torch.testing.assert_close(found, -weights.diagonal() * (ratios * positives).sum(dim=1) / positives.sum(dim=1))
    with several_labels.weights_of("lcl"):
        assert not torch.allclose(label_aware_contrastive_loss(embeddings, labels, logits, reduction="none"), found)


def test_an_unknown_system_is_refused(tmp_path):
    with pytest.raises(ValueError, match="--systems 'svm' is unknown: use some of frozen, trainer-bce"):
        several_labels.main(["--encoder=x", "--data_dir=x", f"--results={tmp_path / 'a.jsonl'}", "--systems", "svm"])


@pytest.mark.slow
def test_runs_are_kept_and_written_into_a_table(folder, encoder_folder, tmp_path):
    flags = [f"--encoder={encoder_folder}", f"--data_dir={folder}", f"--results={tmp_path / 'found.jsonl'}"]
    flags += ["--systems", "frozen", "trainer-bce", "lcl", "lcl-sigmoid", "--epochs=1", "--test=20", "--validation=20"]
    several_labels.main(flags)
    runs = [json.loads(line) for line in (tmp_path / "found.jsonl").read_text().splitlines()]
    assert [run["settings"]["system"] for run in runs] == ["frozen", "trainer-bce", "lcl", "lcl-sigmoid"]
    for run in runs:
        assert run["texts"]["test"] == 20
    page = (tmp_path / "found.md").read_text(encoding="utf-8")
    assert f"| lcl | 0 | {100 * runs[2]['scores']['0.5']['macro_f1']:.1f} | " in page
    assert "Not run: training on 5,000 texts" in page
    before = (tmp_path / "found.jsonl").read_bytes()
    several_labels.main(flags)
    assert (tmp_path / "found.jsonl").read_bytes() == before
