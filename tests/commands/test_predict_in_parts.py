"""`predict` over several files, in several processes, and after a kill."""

import csv
import gzip
import json
import signal
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from launching import run_copies, start_copy

from hf_lcl.__main__ import main
from hf_lcl.serving.parts import PartedTable, parts_folder


def read_csv(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def texts(tmp_path, make_texts) -> Path:
    """A file of 52 rows."""
    path = tmp_path / "new.jsonl"
    make_texts(13, 5).to_json(path)
    return path


def test_several_files_are_one_table_in_their_order(plain, tmp_path):
    (tmp_path / "a.csv").write_text("text,id\nmy cake,1\nthe rage,2\n")
    with gzip.open(tmp_path / "b.jsonl.gz", "wt") as file:
        file.write('{"text": "at work", "line": 7}\n')
    pq.write_table(pa.table({"text": ["my cake"], "id": [3]}), tmp_path / "c.parquet")
    files = [str(tmp_path / name) for name in ("a.csv", "b.jsonl.gz", "c.parquet")]
    main(["predict", str(plain), *files, "--output_file", str(tmp_path / "out.csv")])
    found = read_csv(tmp_path / "out.csv")
    assert list(found[0]) == ["file", "predicted_line", "text", "id", "line", "label", "probability"]
    assert [(row["file"], row["predicted_line"], row["text"], row["id"], row["line"]) for row in found] == [
        (files[0], "2", "my cake", "1", ""),
        (files[0], "3", "the rage", "2", ""),
        (files[1], "1", "at work", "", "7"),
        (files[2], "1", "my cake", "3", ""),
    ]
    assert found[0]["probability"] == found[3]["probability"]
    main(["predict", str(plain), *files, "--output_file", str(tmp_path / "out.parquet")])
    rows = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert [(row["id"], row["label"]) for row in rows] == [(row["id"] or None, row["label"]) for row in found]


@pytest.mark.parametrize(
    ("others", "message"),
    [
        (["-", "a.csv"], "- is the standard input, which cannot be read beside files"),
        (["a.csv", "--output_file", "a.parquet.gz"], "or .parquet"),
    ],
)
def test_what_cannot_be_is_refused(plain, fails, others, message):
    assert message in fails(["predict", str(plain), *others])


def test_what_was_finished_is_not_predicted_again(plain, texts, tmp_path, monkeypatch, capsys):
    """Ctrl-C comes while the fourth part is written."""
    monkeypatch.setattr("hf_lcl.commands.predict.ROWS_AT_ONCE", 10)
    out, whole = tmp_path / "out.jsonl", tmp_path / "whole.jsonl"
    command = ["predict", str(plain), str(texts), "--output_file"]
    main([*command, str(whole)])
    parts = parts_folder(out)
    rows = whole.read_text().splitlines(keepends=True)

    class Stopped(KeyboardInterrupt):
        pass

    write = PartedTable.write

    def stop_at_the_fourth(self, index, records):
        if index == 3:
            raise Stopped
        write(self, index, records)

    with monkeypatch.context() as patched:
        patched.setattr(PartedTable, "write", stop_at_the_fourth)
        with pytest.raises(SystemExit) as stopped:
            main([*command, str(out)])
    assert stopped.value.code == 130
    assert "30 predictions are kept beside it, and the same command goes on from there" in capsys.readouterr().err
    assert not out.exists()
    (parts / "00000001").write_text("".join(row.replace("label", "kept") for row in rows[10:20]))
    main([*command, str(out)])
    found = out.read_text().splitlines(keepends=True)
    assert found[:10] + found[20:] == rows[:10] + rows[20:]
    assert "kept" in found[10]
    assert not parts.exists()


@pytest.mark.slow
def test_after_a_kill_the_same_command_goes_on(plain, make_texts, tmp_path, monkeypatch):
    monkeypatch.setattr("hf_lcl.commands.predict.ROWS_AT_ONCE", 20)
    make_texts(500, 5).to_json(tmp_path / "new.jsonl")
    out = tmp_path / "out.jsonl"
    parts = parts_folder(out)
    command = [str(plain), str(tmp_path / "new.jsonl"), "--output_file", str(out)]
    (tmp_path / "few_at_once.py").write_text(
        "import sys; from hf_lcl.commands import predict; predict.ROWS_AT_ONCE = 20; predict.main(sys.argv[1:])"
    )
    process = start_copy([str(tmp_path / "few_at_once.py"), *command], tmp_path / "said")
    while not (parts / "00000002").exists():
        assert process.is_alive()
        time.sleep(0.001)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert not out.exists()
    first = parts / "00000000"
    first.write_text(first.read_text().replace("label", "kept"))
    main(["predict", *command])
    found = out.read_text().splitlines()
    assert [json.loads(line)["line"] for line in found] == list(range(1, 2001))
    assert ["kept" in line for line in found] == [True] * 20 + [False] * 1980
    assert not parts.exists()


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 3])
def test_several_processes_write_what_one_writes(plain, texts, tmp_path, processes):
    """52 rows: 18, 18 and 16 of them."""
    flags = [str(plain), str(texts), "--all_probabilities", "--output_file"]
    main(["predict", *flags, str(tmp_path / "alone.csv")])
    run_copies(["-m", "hf_lcl", "predict", *flags, str(tmp_path / "out.csv")], tmp_path / "said", processes)
    alone, together = (read_csv(tmp_path / name) for name in ("alone.csv", "out.csv"))
    assert len(together) == len(alone) == 52
    for mine, other in zip(together, alone):
        assert [mine[name] for name in ("line", "text", "label", "predicted_label")] == [
            other[name] for name in ("line", "text", "label", "predicted_label")
        ]
        assert float(mine["probability"]) == pytest.approx(float(other["probability"]), abs=2e-6)
    assert not parts_folder(tmp_path / "out.csv").exists()
