"""What a training command checks before it starts, and which files it leaves when it is stopped."""

import json
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from hf_lcl.__main__ import main
from hf_lcl.commands.job import _what_is_kept
from hf_lcl.support.files import locked


pytestmark = pytest.mark.usefixtures("without_pictures")


def test_without_labels_of_test_texts_the_validation_texts_are_reported_on(training_flags, files, tmp_path, capsys):
    """And nothing of an earlier run stays."""
    out, texts = tmp_path / "out", tmp_path / "texts.jsonl"
    rows = [json.loads(line) for line in Path(files["test"]).read_text().splitlines()[:5]]
    texts.write_text("".join(json.dumps({"text": row["text"]}) + "\n" for row in rows))
    flags = [flag for flag in training_flags if not flag.startswith(("--train_file", "--test_file", "--validation_f"))]
    judged = [f"--validation_file={files['validation']}"]
    main(["train", files["train"], *flags, *judged, f"--test_file={files['test']}"])
    first = (out / "predictions.csv").read_text()
    capsys.readouterr()
    main(["train", files["train"], *flags, *judged, f"--test_file={texts}"])
    told = capsys.readouterr().out.strip().splitlines()
    assert any(re.match(r"accuracy   0\.\d+ on 24 validation texts", line) for line in told), told
    assert f"model      {out}, an ordinary classifier of transformers" in told
    assert len((out / "predict_results.txt").read_text().splitlines()) == 1 + len(rows)
    assert len((out / "predictions.csv").read_text().splitlines()) == 1 + 24
    assert (out / "predictions.csv").read_text() != first
    main(["train", f"--train_file={files['train']}", *flags, f"--test_file={texts}", "--do_train", "--do_predict"])
    assert not (out / "predictions.csv").exists()
    assert not (out / "per_class.csv").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--metric_for_best_model=f2"], "--metric_for_best_model 'f2' is not measured: use one of loss, loss_ce"),
        (["--report_to=clearml"], "--report_to clearml is not installed: pip install clearml"),
        (["--report_to=nonsense"], "--report_to nonsense is unknown: use none, or one of"),
        (["--resume_from_checkpoint=nowhere"], "--resume_from_checkpoint 'nowhere' is no whole checkpoint"),
    ],
)
def test_what_would_fail_later_is_found_before_training(training_flags, fails, flags, message, tmp_path):
    assert message in fails(["train", *training_flags, "--do_train", "--do_eval", *flags])
    assert not list(tmp_path.glob("out/*"))


def test_a_tokenizer_of_another_model_is_found_before_training(training_flags, encoder_folder, files, fails, tmp_path):
    larger = AutoTokenizer.from_pretrained(encoder_folder)
    larger.add_tokens(["neighbours", "cakes"])
    larger.save_pretrained(tmp_path / "larger")
    texts = tmp_path / "more.jsonl"
    texts.write_text(Path(files["train"]).read_text() + json.dumps({"text": "cakes", "label": "glad"}) + "\n")
    flags = [*training_flags, f"--tokenizer_name={tmp_path / 'larger'}", f"--train_file={texts}", "--do_train"]
    message = fails(["train", *flags])
    assert "use the model's own tokenizer" in message


def test_a_cut_encoder_is_named(training_flags, encoder_folder, fails):
    weights = encoder_folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    flags = [*training_flags, f"--model_name_or_path={encoder_folder}", "--do_train"]
    assert f"{weights} is cut short or broken" in fails(["train", *flags])


def test_a_file_of_texts_is_not_written_over(training_flags, files, fails, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    texts = Path(files["train"]).rename(out / "per_class.jsonl")
    (out / "per_class.csv").symlink_to(texts)
    before = texts.read_bytes()
    message = fails(["train", *training_flags, f"--train_file={texts}", "--do_train"])
    assert f"{out / 'per_class.csv'} is the file that is read ({texts})" in message
    assert texts.read_bytes() == before


def test_a_folder_is_trained_in_by_one_process_at_a_time(training_flags, fails, tmp_path):
    (tmp_path / "out").mkdir()
    with locked(tmp_path / "out"):
        assert f"Another process writes into {tmp_path / 'out'}" in fails(["train", *training_flags, "--do_train"])


def test_half_of_earlier_results_blocks_nothing_and_those_of_another_training_go(training_flags, tmp_path, caplog):
    out = tmp_path / "out"
    (out / "report").mkdir(parents=True)
    for name in ("all_results.json", "report/summary.json", "trainer_state.json"):
        (out / name).write_text('{"eval_accuracy": 0.')
    main(["train", *training_flags, "--do_train", "--do_eval", "--objective=ce"])
    assert {"eval_accuracy", "train_loss"} <= json.loads((out / "all_results.json").read_text()).keys()
    assert "report/summary.json is cut or no JSON" in caplog.text
    (out / "all_results.json").write_text('{"eval_accuracy": 0.')
    main(["train", *training_flags, "--do_eval", "--objective=ce"])
    assert "all_results.json is cut or no JSON" in caplog.text
    assert "eval_accuracy" in json.loads((out / "all_results.json").read_text())
    main(["train", *training_flags, "--do_train", "--objective=ce"])  # another model, without an evaluation
    assert "eval_accuracy" not in json.loads((out / "all_results.json").read_text())


def test_a_line_of_predictions_is_a_row_whatever_a_class_is_called(training_flags, plain, tmp_path):
    config = json.loads((plain / "config.json").read_text())
    config["id2label"] = {"0": "a\nb", "1": "a\tb", "2": "a\u2028b", "3": "a\r\x85b"}
    config["label2id"] = {name: int(index) for index, name in config["id2label"].items()}
    (plain / "config.json").write_text(json.dumps(config))
    (tmp_path / "test.txt").write_text("my cake\nthe rage\n")
    flags = [flag for flag in training_flags if not flag.startswith(("--train_file", "--validation_file"))]
    flags += [f"--model_name_or_path={plain}", f"--test_file={tmp_path / 'test.txt'}", "--do_predict"]
    main(["train", *flags, "--objective=ce"])
    lines = (tmp_path / "out" / "predict_results.txt").read_text(encoding="utf-8").splitlines()
    assert [line.split("\t")[0] for line in lines] == ["index", "0", "1"]
    assert {line.split("\t")[1] for line in lines[1:]} <= {"a\\nb", "a\\tb", "a\\u2028b", "a\\r\\x85b"}


def test_a_stop_before_a_resumed_run_begins_is_no_new_beginning(make_trainer, monkeypatch):
    make_trainer(save_strategy="steps", save_steps=1, max_steps=2).train()
    first = ["hf-lcl", "train", "--resume_from_checkpoint", "out/checkpoint-1"]
    monkeypatch.setattr(sys, "argv", first)
    trainer = make_trainer(save_strategy="steps", save_steps=1, max_steps=3, resume_from_checkpoint="last")
    assert _what_is_kept(trainer, False) == f"Nothing was trained yet; to go on: {shlex.join(first)}"
    trainer.train(resume_from_checkpoint="last")
    assert "checkpoint-3 is whole (of 3 steps)" in _what_is_kept(trainer, False)
    assert _what_is_kept(trainer, False).endswith("out/checkpoint-1 --resume_from_checkpoint last")


@pytest.mark.slow
def test_a_stopped_training_says_what_is_whole_and_its_command_goes_on(training_flags, tmp_path):
    flags = [flag for flag in training_flags if not flag.startswith(("--save_strategy", "--max_steps"))]
    flags += ["--do_train", "--save_steps=2", "--save_total_limit=2", "--objective=lcl", "--token=hf_secret"]
    command = [sys.executable, "-m", "hf_lcl", "train", *flags]
    running = subprocess.Popen([*command, "--max_steps=100000"], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    while not list(tmp_path.glob("out/checkpoint-4*")):
        assert running.poll() is None, running.stderr.read()
        time.sleep(0.1)
    running.terminate()
    line = running.communicate(timeout=60)[1].decode().splitlines()[-1]
    assert running.returncode == 143
    assert line.startswith(f"stopped: {tmp_path / 'out' / 'checkpoint-'}")
    assert "is whole (of 100000 steps); to go on: hf-lcl train" in line
    assert line.endswith("--resume_from_checkpoint last")
    assert "hf_secret" not in line
    reached = int(line.partition("checkpoint-")[2].split()[0])
    main(["train", *flags, f"--max_steps={reached + 2}", "--resume_from_checkpoint", "last"])
    assert json.loads((tmp_path / "out" / "trainer_state.json").read_text())["global_step"] == reached + 2
