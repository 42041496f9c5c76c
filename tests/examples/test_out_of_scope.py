"""The page and the benchmark of out-of-scope texts: their commands run as printed, on made-up texts."""

import csv
import gzip
import json
import re
import shlex
from pathlib import Path

import pytest
import scope

from hf_lcl.__main__ import main


PAGE = Path(__file__).parents[2] / "examples" / "docs" / "out_of_scope.md"
FOREIGN = [f"{first} q x {second} y z" for first in "abcdef" for second in "ghijk"]


@pytest.mark.slow
def test_the_commands_of_the_page_run_as_printed(make_texts, encoder_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for seed, (name, rows) in enumerate({"tickets": 60, "validation": 6, "test": 6, "new": 2}.items()):
        make_texts(rows, seed).to_csv(tmp_path / f"{name}.csv")
    with open("oos.csv", "w", newline="") as file:
        csv.writer(file).writerows([["text"], *([text] for text in FOREIGN)])
    blocks = re.findall(r"```bash\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    commands = [shlex.split(line, comments=True) for block in blocks for line in block.splitlines()]
    assert [command[1] for command in commands] == [
        "train",
        "predict",
        "push",
        "calibrate",
        "calibrate",
        "report",
        "predict",
    ]
    for program, *command in commands:
        assert program == "hf-lcl"
        if command[0] == "train":
            command += ["--model_name_or_path", str(encoder_folder), "--max_steps", "2", "--learning_rate", "1e-3"]
        if command[0] != "push":
            main(command)
        if command[0] == "train":
            assert json.loads(Path("out/config.json").read_text())["id2label"]["4"] == "out_of_scope"
    with open("answers.csv", newline="") as file:
        assert {row["decision"] for row in csv.DictReader(file)} <= {"accept", "review"}
    assert "out_of_scope" not in json.loads(Path("out/config.json").read_text())


def test_an_unknown_system_is_refused(tmp_path):
    with pytest.raises(ValueError, match="--systems 'svm' is unknown: use some of frozen, ce-start"):
        scope.main(["--encoder=x", "--data_dir=x", f"--results={tmp_path / 'a.jsonl'}", "--systems", "svm"])


@pytest.mark.slow
def test_the_benchmark_keeps_its_runs_and_writes_a_table(make_texts, encoder_folder, tmp_path, monkeypatch):
    folder = tmp_path / "banking77_oos"
    folder.mkdir()
    for seed, (name, rows) in enumerate({"train": 12, "validation": 8, "test": 8}.items()):
        make_texts(rows, seed).to_json(folder / f"{name}.jsonl.gz", compression="gzip")
        for kind in ("near", "far"):
            rows = "".join(json.dumps({"text": text}) + "\n" for text in [*FOREIGN, ""])
            (folder / f"oos_{kind}_{name}.jsonl.gz").write_bytes(gzip.compress(rows.encode()))
    monkeypatch.setattr(scope, "OOS_TEXTS", 10)
    flags = ["--cells=banking77_oos", "--systems", "frozen", "ce-start-oos", "--per_class=6", "--epochs=1"]
    results = tmp_path / "scope.jsonl"
    scope.main([f"--encoder={encoder_folder}", f"--data_dir={tmp_path}", f"--results={results}", *flags])
    runs = [json.loads(line) for line in results.read_text().splitlines()]
    assert [run["settings"]["system"] for run in runs] == ["frozen", "ce-start-oos"]
    assert set(runs[1]["scores"]) == {"oos_near_test", "oos_far_test"}
    assert set(runs[1]["scores"]["oos_far_test"]) - set(runs[0]["scores"]["oos_far_test"]) == {"learned_class"}
    assert all(0 <= run["exported"]["kept"] <= 1 for run in runs)
    assert results.with_suffix(".md").read_text().count("| banking77_oos |") == 4
