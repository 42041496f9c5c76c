"""The commands of examples/docs/serving.md do what the page says, one after the other."""

import gzip
import re
import shlex
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from hf_lcl.__main__ import main


PAGE = Path(__file__).parents[2] / "examples" / "docs" / "serving.md"


@pytest.mark.slow
def test_the_commands_run_as_printed(plain, make_texts, tmp_path, monkeypatch):
    texts = make_texts(10, 4)
    plain.rename(tmp_path / "out")
    (tmp_path / "2026").mkdir()
    texts.to_csv(tmp_path / "test.csv")
    texts.to_parquet(tmp_path / "archive.parquet")
    texts.remove_columns("label").to_csv(tmp_path / "new.csv")
    for month in ("01", "02"):
        (tmp_path / "2026" / f"{month}.csv.gz").write_bytes(gzip.compress((tmp_path / "new.csv").read_bytes()))
    monkeypatch.chdir(tmp_path)
    commands = re.findall(r"(?m)^hf-lcl (.*)$", PAGE.read_text(encoding="utf-8"))
    assert len(commands) == 4
    for command in commands:
        words = shlex.split(command)
        argv = [path for word in words for path in (sorted(map(str, Path().glob(word))) if "*" in word else [word])]
        main(argv)
    assert len((tmp_path / "pred.csv").read_text().splitlines()) == 41
    files = pq.read_table(tmp_path / "pred.parquet")["file"].to_pylist()
    assert files == ["2026/01.csv.gz"] * 40 + ["2026/02.csv.gz"] * 40 + ["archive.parquet"] * 40
    assert (tmp_path / "out-int8" / "model.onnx").is_file()
    # The code on the page adds the labels of the texts to the shard of a process.
    names: dict = {}
    exec(re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[1], names)
    shard, classifier = names["shard"], names["classifier"]
    assert len(shard) == 20
    expected = classifier.logits(names["dataset"]["text"][:20]).argmax(axis=1)
    assert shard["label"][:] == expected.tolist()
