"""Every system of the papers, on made-up texts in the layout of a recipe."""

import importlib
import json
from pathlib import Path

import pytest
import torch
from paper_systems import SYSTEMS

from hf_lcl import ContrastiveTrainingArguments
from hf_lcl.losses import Objective


# Systems that the papers report as failures; they may fail to learn here too.
FAILURES = ("scl-dot-0.07", "scl-positives", "lcl-positives")


@pytest.fixture
def paper(monkeypatch):
    """The script as a module."""
    return importlib.import_module("reproduce_paper")


@pytest.fixture
def flags(tmp_path, make_data_dir, encoder_folder) -> list[str]:
    """Data, encoder and results of the test."""
    return [
        "--datasets=emoint",
        f"--data_dir={make_data_dir(train=60, validation=5, test=15)}",
        f"--encoder={encoder_folder}",
        f"--results={tmp_path / 'paper.jsonl'}",
        "--per_device_train_batch_size=16",
        "--learning_rate=3e-3",
        "--num_train_epochs=8",
    ]


def lines(tmp_path) -> list[dict]:
    return [json.loads(line) for line in (tmp_path / "paper.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_finished_runs_are_kept_and_not_run_again(paper, flags, tmp_path, capsys):
    short = [*flags, "--systems", "ce", "scl-two-phase", "--max_train_samples=40", "--num_train_epochs=1"]
    paper.main([*short, "--seeds", "0"])
    first = lines(tmp_path)
    assert [line["settings"]["system"] for line in first] == ["ce", "scl-two-phase"]
    assert all(line["data"]["train"]["rows"] == 40 for line in first)
    assert len({line["data"]["test"]["fingerprint"] for line in first}) == 1
    paper.main([*short, "--seeds", "0", "1"])
    assert lines(tmp_path)[:2] == first
    assert [line["settings"]["seed"] for line in lines(tmp_path)] == [0, 0, 1, 1]
    table = capsys.readouterr().out
    assert "| scl-two-phase | encoder | at most 40 | epochs 1, rate 0.003, batch 16 |" in table
    assert "(2)" in table
    assert "| ce | *ELECTRA-base, as printed* | *all* |" in table


def test_the_table_alone_runs_nothing(paper, flags, tmp_path):
    paper.main([*flags, f"--table={tmp_path / 'paper.md'}"])
    assert "ELECTRA-base, SCL, as printed" in (tmp_path / "paper.md").read_text()
    assert not (tmp_path / "paper.jsonl").exists()


def test_runs_share_a_cell_only_if_they_differ_in_nothing_but_seed_and_precision(paper):
    def finished(seed, rate, accuracy, bf16=False):
        args = paper.PaperArguments(results=Path("paper.jsonl"), learning_rate=rate, bf16=bf16)
        return {"settings": paper.settings_of(args, "ce", "sst5", seed), "metrics": {"accuracy": accuracy}}

    table = paper.markdown([finished(0, 1e-4, 0.5), finished(1, 1e-4, 0.6, bf16=True), finished(0, 2e-4, 0.3)])
    assert [line.split(" | ")[3:5] for line in table.splitlines() if line.startswith("| ce | electra")] == [
        ["epochs 5, rate 0.0001, batch 32", "55.0 ± 7.1 (2)"],
        ["epochs 5, rate 0.0002, batch 32", "30.0 (1)"],
    ]


@pytest.mark.parametrize(("flag", "value"), [("systems", "bert"), ("datasets", "imdb")])
def test_unknown_names_are_refused(paper, flags, flag, value):
    with pytest.raises(ValueError, match=f"--{flag} {value} is unknown: use some of "):
        paper.main([*flags, f"--{flag}", value])


@pytest.mark.parametrize("system", ["lcl-inside", "lcl-positives", "scl-positives"])
def test_what_is_trained_is_the_formula_of_the_system(paper, system, bert, splits, tokenizer, tmp_path):
    name, formula = system.split("-")[0], paper.SYSTEMS[system].formula
    settings = {"objective": name, "samples_per_class": 4, "use_cpu": True, "report_to": "none"}
    args = ContrastiveTrainingArguments(str(tmp_path), **settings)
    data = {"train_dataset": splits["train"], "processing_class": tokenizer}
    trainer = paper.PaperTrainer(bert, args, formula=formula, **data)
    batch = next(iter(trainer.get_train_dataloader()))
    trainer.model.eval()
    with torch.no_grad():
        loss = trainer.compute_loss(trainer.model, batch)
        labels = batch.pop("labels")
        outputs = trainer.model(**batch)
    tensors = outputs.logits, outputs.embeddings, outputs.weighting_logits, labels
    assert loss.item() == pytest.approx(paper.PaperObjective(name, **formula)(*tensors)[0].item(), rel=1e-5)
    assert abs(loss.item() - Objective(name)(*tensors)[0].item()) > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("system", [name for name in SYSTEMS if name not in FAILURES])
def test_the_command_trains_every_system_and_it_learns(paper, flags, tmp_path, system):
    # Training takes longer if cross-entropy does not train the encoder.
    longer = ["--num_train_epochs=15"] if system == "scl-two-phase" else []
    paper.main([*flags, "--systems", system, *longer])
    (line,) = lines(tmp_path)
    assert line["settings"]["system"] == system
    assert line["metrics"]["accuracy"] >= 0.9


@pytest.mark.slow
def test_failures_run_too(paper, flags, tmp_path):
    paper.main([*flags, "--systems", *FAILURES, "--num_train_epochs=1", "--max_train_samples=16"])
    assert len(lines(tmp_path)) == len(FAILURES)
