"""A search for settings, for a file and without any other flag."""

import shutil
import sqlite3

import pytest
import yaml
from datasets import DatasetDict

from hf_lcl import ContrastiveTrainingArguments
from hf_lcl.__main__ import main
from hf_lcl.commands.parsing import parse_arguments
from hf_lcl.commands.search import CHOSEN, study_name
from hf_lcl.commands.train import ARGUMENTS
from hf_lcl.training.search import wide_space


optuna = pytest.importorskip("optuna")


@pytest.mark.slow
def test_from_a_file_to_settings_that_train_takes(start, tmp_path, capsys):
    out = tmp_path / "my search"
    command = [
        *("search", start["train_file"], "--model_name_or_path", start["model_name_or_path"], "--n_trials", "1"),
        *("--num_train_epochs", "1", "--use_cpu", "true", "--disable_tqdm", "true", "--output_dir", str(out)),
    ]
    for _ in range(2):
        main(command)
    with sqlite3.connect(out / "search.db") as database:
        values = [value for (value,) in database.execute("select value from trial_values")]
    assert len(values) == 2
    told = capsys.readouterr()
    assert f"best       {max(values):.4f} on the validation texts" in told.out
    assert told.out.endswith(f"next       hf-lcl train '{out}/best/settings.yaml'\n")
    assert not list(out.glob("run-*"))  # no models of trials
    settings = yaml.safe_load((out / "best" / "settings.yaml").read_text())
    assert 5e-6 <= settings["learning_rate"] <= 5e-4
    assert settings["per_device_train_batch_size"] in (8, 16, 32, 64)
    assert {"temperature", "alpha", "weight_decay", "validation_split", "test_split"} <= settings.keys()
    *_, training_args = parse_arguments(ARGUMENTS, [str(out / "best" / "settings.yaml")])
    assert training_args.learning_rate == settings["learning_rate"]
    assert (training_args.output_dir, training_args.do_predict) == (str(out / "best"), True)


@pytest.mark.slow
def test_other_texts_in_the_same_folder_are_another_study(start, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    flags = ("--model_name_or_path", start["model_name_or_path"], "--n_trials", "1", "--num_train_epochs", "1")
    for split in ("train", "test"):
        shutil.copy(start[f"{split}_file"], "texts.jsonl")
        main(["search", "texts.jsonl", *flags, "--use_cpu", "true", "--disable_tqdm", "true"])
    with sqlite3.connect(tmp_path / "texts_search" / "search.db") as database:
        studies = [study for (study,) in database.execute("select study_id from trials")]
        values = [value for (value,) in database.execute("select value from trial_values")]
    assert studies == [1, 2]
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("best ")]
    assert told == [f"best       {value:.4f} on the validation texts, trial 0" for value in values]


def test_a_study_is_known_by_all_that_its_trials_share(start, splits):
    names = ["angry", "annoyed", "glad", "proud"]

    def name(splits=splits, **flags):
        flags = {"model_name_or_path": start["model_name_or_path"], "output_dir": "out", "use_cpu": True} | flags
        arguments = parse_arguments(ARGUMENTS, [f"--{name}={value}" for name, value in flags.items()])
        return study_name(arguments[0], arguments[2], splits, names)

    assert name() == name(learning_rate=1e-3, temperature=0.1, output_dir="other", logging_steps=3)
    other = DatasetDict(train=splits["train"], validation=splits["test"])
    changed = [name(other), name(pooling="mean"), name(num_train_epochs=9), name(seed=1), name(objective="scl")]
    assert len({name(), *changed}) == 6


def test_what_trials_choose_is_no_part_of_that(tmp_path):
    args = ContrastiveTrainingArguments(str(tmp_path), use_cpu=True)
    assert wide_space(optuna.create_study().ask(), args).keys() == {*CHOSEN}


@pytest.mark.parametrize(
    ("argv", "words"),
    [([], "name a file of texts and labels"), (["--n_trials", "0"], "--n_trials 0 searches nothing")],
)
def test_what_cannot_be_searched(argv, words, start):
    model = ["--model_name_or_path", start["model_name_or_path"]]
    with pytest.raises(SystemExit, match=words) as ended:
        main(["search", *argv, *model])
    assert ended.value.code == 2
