"""Files of every kind become one DatasetDict, and a broken file is named together with what is wrong with it."""

import gzip
import json
from pathlib import Path

import pytest
from datasets import Dataset

from hf_lcl import load_splits


ROWS = [
    {"text": "Slammed the door, shouting.", "label": "angry"},
    {"text": 'She said "again".', "label": "annoyed"},
    {"text": "Cake für alle \u00e9t\u00e9", "label": "glad"},
]
GOOD_LINES = [json.dumps(row) for row in ROWS]


@pytest.fixture
def write(tmp_path):
    """Writes bytes or text to a file, gzipped where its name ends in .gz."""

    def write(name: str, content: str | bytes) -> Path:
        content = content.encode() if isinstance(content, str) else content
        path = tmp_path / name
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return path

    return write


@pytest.mark.parametrize(
    "name", ["data.csv", "data.csv.gz", "data.json", "data.jsonl", "data.jsonl.gz", "data.parquet"]
)
def test_rows_come_back_as_they_were_written(name, tmp_path):
    path = tmp_path / name
    dataset = Dataset.from_list(ROWS)
    if "csv" in name:
        dataset.to_pandas().to_csv(path, index=False)
    elif "json" in name:
        dataset.to_json(path, compression="gzip" if name.endswith(".gz") else None)
    else:
        dataset.to_parquet(path)
    assert load_splits({"train": path})["train"].to_list() == ROWS


def test_a_json_file_may_hold_one_list(write):
    path = write("data.json", json.dumps(ROWS, indent=2))
    assert load_splits({"train": path})["train"].to_list() == ROWS


def test_paths_may_be_strings(write):
    path = write("data.jsonl", "\n".join(GOOD_LINES))
    assert len(load_splits({"train": str(path)})["train"]) == 3


def test_every_split_keeps_its_own_rows(write):
    splits = load_splits(
        {"train": write("a.jsonl", "\n".join(GOOD_LINES)), "validation": write("b.jsonl.gz", GOOD_LINES[0])}
    )
    assert {split: len(dataset) for split, dataset in splits.items()} == {"train": 3, "validation": 1}


def test_integer_labels_stay_integers(write):
    path = write("data.csv", "text,label\na,0\nb,1\n")
    assert load_splits({"train": path})["train"]["label"][:] == [0, 1]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_test_file_without_labels_has_no_label_column(kind, write):
    contents = {
        "csv": ("text,label\na,x\nb,y\n", "text\nc\n"),
        "jsonl": ("\n".join(GOOD_LINES), '{"text": "c"}\n'),
    }[kind]
    splits = load_splits({"train": write(f"a.{kind}", contents[0]), "test": write(f"b.{kind}", contents[1])})
    assert splits["test"].column_names == ["text"]


@pytest.mark.parametrize("word", ["NA", "null", "None", "nan"])
def test_words_that_look_like_missing_values_stay_words_in_csv(word, write):
    path = write("data.csv", f"text,label\n{word},x\nb,{word}\n")
    assert load_splits({"train": path})["train"].to_list() == [
        {"text": word, "label": "x"},
        {"text": "b", "label": word},
    ]


# Errors


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"validation file .*nowhere\.csv does not exist"):
        load_splits({"validation": tmp_path / "nowhere.csv"})


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        load_splits({"train": tmp_path})


@pytest.mark.parametrize("name", ["data.txt", "data.txt.gz", "data.gz", "data"])
def test_an_unknown_extension_is_refused_with_the_known_ones(name, write):
    with pytest.raises(ValueError, match=r"train file .*unknown extension.*\.csv, \.json, \.jsonl, \.parquet"):
        load_splits({"train": write(name, "x")})


@pytest.mark.parametrize("name", ["data.csv", "data.json", "data.jsonl", "data.parquet"])
def test_a_file_of_no_bytes_is_empty(name, write):
    with pytest.raises(ValueError, match=rf"train file .*{name} is empty"):
        load_splits({"train": write(name, "")})


@pytest.mark.parametrize("name", ["data.csv.gz", "data.jsonl.gz"])
def test_a_gzipped_file_of_no_bytes_is_empty(name, write):
    with pytest.raises(ValueError, match=rf"{name}.*(is empty|has no rows)"):
        load_splits({"train": write(name, "")})


@pytest.mark.parametrize(
    ("name", "content"), [("data.csv", "text,label\n"), ("data.csv.gz", "text,label\n"), ("data.jsonl", "\n\n")]
)
def test_a_file_without_rows_says_so(name, content, write):
    with pytest.raises(ValueError, match=rf"{name}.*has no rows"):
        load_splits({"train": write(name, content)})


def test_a_file_without_rows_is_the_only_one_named(write):
    good, bad = write("good.csv", "text,label\na,x\n"), write("bad.csv", "text,label\n")
    with pytest.raises(ValueError, match=r"bad\.csv") as caught:
        load_splits({"train": good, "validation": bad})
    assert "good.csv" not in str(caught.value)


@pytest.mark.parametrize("name", ["data.jsonl", "data.jsonl.gz", "data.json"])
@pytest.mark.parametrize("broken", [0, 2, 3])
def test_a_broken_json_line_is_named_by_its_number(name, broken, write):
    lines = [*GOOD_LINES[:broken], '{"text": "It broke', *GOOD_LINES[broken:]]
    with pytest.raises(ValueError, match=rf"{name}, line {broken + 1} is not valid JSON"):
        load_splits({"train": write(name, "\n".join(lines))})


def test_blank_lines_count_in_the_number_of_a_broken_one(write):
    path = write("data.jsonl", f'{GOOD_LINES[0]}\n\n{{"text": \n')
    with pytest.raises(ValueError, match="line 3 is not valid JSON"):
        load_splits({"train": path})


def test_a_broken_line_is_found_in_a_json_file_of_one_list(write):
    path = write("data.json", f'[{GOOD_LINES[0]},\n{{"text": "c" "label": "x"}}]')
    with pytest.raises(ValueError, match="line 2 is not valid JSON"):
        load_splits({"train": path})


def test_a_broken_line_is_found_in_the_split_that_has_it(write):
    good, bad = write("good.jsonl", "\n".join(GOOD_LINES)), write("bad.jsonl", GOOD_LINES[0] + "\n{")
    with pytest.raises(ValueError, match=r"bad\.jsonl, line 2"):
        load_splits({"train": good, "test": bad})


@pytest.mark.parametrize("line", ['["a", "x"]', '"a"', "3"])
def test_a_line_that_is_no_object_is_named_by_its_number(line, write):
    path = write("data.jsonl", "\n".join([GOOD_LINES[0], line, GOOD_LINES[1]]))
    with pytest.raises(ValueError, match="line 2 is not an object"):
        load_splits({"train": path})


def test_a_file_that_is_no_gzip_is_named(tmp_path):
    path = tmp_path / "data.jsonl.gz"
    path.write_text("\n".join(GOOD_LINES))
    with pytest.raises(ValueError, match=r"data\.jsonl\.gz cannot be read"):
        load_splits({"train": path})


def test_a_gzip_that_was_cut_off_is_named(tmp_path):
    path = tmp_path / "data.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(GOOD_LINES * 1000).encode(), compresslevel=0)[:5000])
    with pytest.raises(ValueError, match=r"data\.jsonl\.gz cannot be read"):
        load_splits({"train": path})


@pytest.mark.parametrize("name", ["data.csv", "data.jsonl"])
def test_text_that_is_not_utf8_is_refused(name, write):
    rows = {"data.csv": "text,label\n\u00e9,x\nb,y\n", "data.jsonl": '{"text": "\u00e9", "label": "x"}\n'}
    with pytest.raises(ValueError, match=rf"{name} cannot be read.*utf-8"):
        load_splits({"train": write(name, rows[name].encode("latin-1"))})


@pytest.mark.parametrize(("name", "content"), [("data.parquet", "no parquet"), ("data.csv", "a,b\n1,2\n1,2,3,4\n")])
def test_other_broken_files_are_named(name, content, write):
    with pytest.raises(ValueError, match=rf"{name} cannot be read"):
        load_splits({"train": write(name, content)})


def test_splits_may_be_files_of_several_kinds(write):
    files = {"train": write("a.csv", "text,label\na,x\n"), "test": write("b.jsonl", GOOD_LINES[0])}
    assert [len(split) for split in load_splits(files).values()] == [1, 1]
