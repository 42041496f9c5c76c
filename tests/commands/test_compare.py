"""`compare` runs each objective and seed once, and reports the results."""

import json
import re
from pathlib import Path

import pytest

from hf_lcl.__main__ import main
from hf_lcl.commands import compare
from hf_lcl.commands.parsing import parse_arguments
from hf_lcl.commands.train import ARGUMENTS


@pytest.fixture
def flags(training_flags):
    return ["compare", *training_flags, "--objectives", "ce", "ce-start", "lcl", "--num_views", "2", "--seeds"]


def ledger(folder):
    return [json.loads(line) for line in (folder / "runs.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.mark.slow
def test_every_objective_and_seed_is_run_once_and_a_rerun_adds(flags, files, tmp_path, capsys, monkeypatch):
    main([*flags, "0"])
    out = tmp_path / "out"
    runs = ledger(out)
    assert [run["settings"]["objective"] for run in runs] == ["ce", "ce-start", "lcl"]
    assert [run["settings"]["training"].get("num_views") for run in runs] == [None, None, 2]
    assert all(run["steps"] == 1 and len(run["predictions"]) == 24 for run in runs)
    for run in runs:
        folder = out / f"{run['settings']['objective']}-seed0"
        results = json.loads((folder / "all_results.json").read_text())
        assert results["predict_accuracy"] == run["metrics"]["accuracy"]
    card = (out / "lcl-seed0" / "README.md").read_text(encoding="utf-8")
    assert "\n# out-lcl-seed0\n" in card
    baseline = json.loads((out / "ce-seed0" / "report" / "summary.json").read_text())["metrics"]["accuracy"]
    assert "| metric | this model | cross-entropy | cross-entropy after the same start |" in card
    assert f" | {baseline:.4f} (" in card
    assert "after the same start" not in (out / "ce-seed0" / "README.md").read_text(encoding="utf-8")
    page = (out / "lcl-seed0" / "report" / "index.html").read_text(encoding="utf-8")
    assert re.search(rf"after the same start</th>\n<td>{runs[1]['metrics']['accuracy']:.1%}</td>", page)
    # ce-start starts like lcl: with a fitted classifier; the tiny encoder was not trained with mean pooling.
    assert [run["settings"]["training"].get("head_start") for run in runs] == [None, True, None]

    run_job = compare.run_job
    trained = []
    with monkeypatch.context() as patch:
        patch.setattr(
            compare, "run_job", lambda trainer, *args, **how: trained.append(trainer) or run_job(trainer, *args, **how)
        )
        patch.setattr("hf_lcl.commands.job.find_spec", lambda package: None)  # pictures take most of the time
        main([*flags, "0", "1"])
    assert [(trainer.args.objective, trainer.args.seed) for trainer in trained] == [("ce", 1), ("ce", 1), ("lcl", 1)]
    assert len(ledger(out)) == 6
    printed = capsys.readouterr().out
    assert "run 1 of 6: ce, seed 0: finished before" in printed
    table = (out / "comparison.md").read_text(encoding="utf-8")
    assert "on the test split (24 texts) after training on 64: mean ± standard deviation" in table
    assert (
        "| objective | runs | accuracy | macro_f1 | weighted_f1 | calibration_error | seconds | accuracy - ce |"
        in table
    )
    assert table.count(" ± ") == 16  # one of them in the caption

    # A new report keeps the baseline.
    main(["report", str(out / "lcl-seed0"), "--test_file", files["test"]])
    assert "after the same start it begins" in (out / "lcl-seed0" / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.usefixtures("without_pictures")
def test_a_run_of_other_settings_or_data_is_another_run(training_flags, files, tmp_path, capsys):
    flags = ["compare", *training_flags, f"--train_file={files['train']}", "--objectives", "ce", "--seeds", "0"]
    main(flags)
    main([*flags, "--learning_rate=2e-3"])
    assert "finished before" not in capsys.readouterr().out
    rows = Path(files["train"]).read_text().splitlines()
    Path(files["train"]).write_text("\n".join(rows[:-1]))
    main(flags)
    assert "finished before" not in capsys.readouterr().out
    assert len(ledger(tmp_path / "out")) == 3


@pytest.mark.slow
@pytest.mark.usefixtures("without_pictures")
def test_with_a_file_first_what_no_flag_sets_is_chosen_as_by_train(
    training_flags, files, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (encoder,) = (flag for flag in training_flags if flag.startswith("--model_name_or_path"))
    flags = [encoder, "--objectives", "ce", "lcl", "--seeds", "0", "--max_steps=1", "--warmup_steps=0", "--use_cpu"]
    main(["compare", files["train"], *flags])
    runs = ledger(tmp_path / "train_comparison")
    assert [run["settings"]["objective"] for run in runs] == ["ce", "lcl"]
    for run in runs:  # the values of the page on the command line
        training = run["settings"]["training"]
        assert [training[name] for name in ("learning_rate", "per_device_train_batch_size")] == [1e-4, 16]
        assert training.get("warmup_steps", 0) == 0  # the flag counts
        assert "test" in run["settings"]["data"]
    assert not [*tmp_path.glob("train_comparison/*/checkpoint-*")]
    *_, training_args = parse_arguments(ARGUMENTS, ["train_comparison/lcl-seed0/settings.yaml"])
    assert (training_args.objective, training_args.learning_rate, training_args.max_steps) == ("lcl", 1e-4, 1)
    assert "held out: 10% of the rows for validation" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("others", "message"),
    [
        (["--objectives", "ce", "mse"], "--objectives 'mse' is unknown: use one of"),
        (["--seeds", "1", "1"], "--seeds [1, 1] holds one twice"),
        (["--alpha", "2"], "--alpha 2.0 must be a number in [0, 1]"),
    ],
)
def test_bad_input_ends_in_one_line_before_anything_is_read(training_flags, fails, others, message):
    assert message in fails(["compare", *training_flags, "--train_file=none.jsonl", *others])


def test_it_publishes_nothing(training_flags, fails):
    assert "publishes nothing" in fails(["compare", *training_flags, "--push_to_hub"])


def test_it_needs_labelled_texts_beside_those_it_trains_on(training_flags, fails):
    flags = [flag for flag in training_flags if not flag.startswith(("--test", "--validation"))]
    assert "needs labelled texts" in fails(["compare", *flags, "--do_train"])
