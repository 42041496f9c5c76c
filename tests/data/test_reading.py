"""Files of every format are read with their cells unchanged, and errors in a file name its line."""

import gzip
import io
import json
import re
import tracemalloc
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset

from hf_lcl import load_splits
from hf_lcl.data.reading import Reader, named_columns


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
    for columns in (None, [], ["label"]):
        assert [row.texts for row in Reader().rows(path, columns=columns)] == [(row["text"],) for row in ROWS]


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
    with pytest.raises(ValueError, match=r"train file .* is a folder: name a file in it"):
        load_splits({"train": tmp_path})


@pytest.mark.parametrize("name", ["data.doc", "data.parquet.gz", "data.gz", "data"])
def test_an_unknown_extension_is_refused_with_the_known_ones(name, write):
    with pytest.raises(ValueError, match=r"train file .*unknown extension.*\.csv, \.tsv, \.json, \.jsonl.*\.parquet"):
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
    with pytest.raises(ValueError, match=r"line 2 holds .*, not an object"):
        load_splits({"train": path})


def test_a_file_that_is_no_gzip_is_named(tmp_path):
    path = tmp_path / "data.jsonl.gz"
    path.write_text("\n".join(GOOD_LINES))
    with pytest.raises(ValueError, match=r"data\.jsonl\.gz cannot be read"):
        load_splits({"train": path})


@pytest.mark.parametrize("content", ["text,label\n", "text,label\na\n"])
def test_a_test_file_without_good_rows_is_not_said_to_lack_labels(content, write, caplog):
    with pytest.raises(ValueError, match=r"data\.csv"):
        load_splits({"test": write("data.csv", content)}, label_column="label")
    assert "has no labels" not in caplog.text


def test_a_gzip_that_was_cut_off_is_named(tmp_path):
    path = tmp_path / "data.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(GOOD_LINES * 1000).encode(), compresslevel=0)[:5000])
    with pytest.raises(ValueError, match=r"data\.jsonl\.gz cannot be read"):
        load_splits({"train": path})


def test_a_parquet_file_that_is_none_is_named(write):
    with pytest.raises(ValueError, match=r"data\.parquet cannot be read as parquet"):
        load_splits({"train": write("data.parquet", "no parquet")})


def test_splits_may_be_files_of_several_kinds(write):
    files = {"train": write("a.csv", "text,label\na,x\n"), "test": write("b.jsonl", GOOD_LINES[0])}
    assert [len(split) for split in load_splits(files).values()] == [1, 1]


# What stands in a cell


def read(path, **options):
    """All cells of a file, by column."""
    return load_splits({"train": path}, **options)["train"].to_dict()


@pytest.mark.parametrize("labels", [["01", "02", "10"], ["TRUE", "FALSE", "MIXTURE"], ["+1", "-1", "1"], ["1.0", "1"]])
def test_labels_of_a_csv_are_what_stands_there(labels, write):
    path = write("a.csv", "text,label\n" + "".join(f"a,{label}\n" for label in labels))
    assert read(path)["label"] == labels


def test_numbers_and_words_of_json_keep_their_letters(write):
    lines = [
        '{"text": "null", "label": 1}',
        '{"text": 3.10, "label": "2"}',
        '{"text": "[1, 2]", "label": "02"}',
        '{"text": "2020-01-01", "label": true}',
        '{"text": 12345678901234567890123, "label": 1e5}',
        '{"text": null, "label": NaN}',
    ]
    texts = ["null", "3.10", "[1, 2]", "2020-01-01", "12345678901234567890123", None]
    expected = {"text": texts, "label": ["1", "2", "02", "true", "1e5", None]}
    assert read(write("a.jsonl", "\n".join(lines))) == expected
    assert read(write("a.json", f"[{','.join(lines)}]")) == expected


def test_parquet_cells_are_strings_too(tmp_path):
    table = pa.table(
        {
            "text": [b"x", "\u00e9".encode()],
            "label": pa.array([1, None], pa.int8()),
            "kind": pa.array(["a", "b"]).dictionary_encode(),
            "day": pa.array([0, 1], pa.date32()),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet") == {
        "text": ["x", "\u00e9"],
        "label": ["1", None],
        "kind": ["a", "b"],
        "day": ["1970-01-01", "1970-01-02"],
    }


def test_of_a_parquet_file_only_the_columns_that_are_used_are_parsed(tmp_path):
    blobs = pa.array([b"\xff" * 10_000_000] * 3)
    pq.write_table(pa.table({"text": ["a", "b", "c"], "blob": blobs}), tmp_path / "a.parquet", use_dictionary=False)
    tracemalloc.start()
    assert read(tmp_path / "a.parquet", columns=["text"]) == {"text": ["a", "b", "c"]}
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5e6


def test_class_names_of_a_parquet_file_are_known(tmp_path):
    data = Dataset.from_dict({"text": ["a", "b", "c"], "label": [1, 0, 1]})
    data.cast_column("label", ClassLabel(names=["sad", "glad"])).to_parquet(tmp_path / "a.parquet")
    train = load_splits({"train": tmp_path / "a.parquet"})["train"]
    assert train.features["label"].names == ["sad", "glad"]
    assert train["label"][:] == [1, 0, 1]


def test_a_column_may_change_its_kind_after_many_rows(write, monkeypatch):
    monkeypatch.setattr("hf_lcl.data.loading.CHUNK_ROWS", 400)
    rows = [f"t,{'x' if row % 2 else 'y'},{row}" for row in range(1001)]
    path = write("a.csv", "\n".join(["text,label,id", *rows, "t,01,A17"]))
    columns = read(path)
    assert columns["id"][-2:] == ["1000", "A17"]
    assert columns["label"][-1] == "01"
    lines = [json.dumps({"text": "t", "id": row, "meta": {"a": row}}) for row in range(1001)]
    path = write("a.jsonl", "\n".join([*lines, '{"text": "t", "id": ["A"], "meta": 5}']))
    assert len(read(path, columns=["text"])["text"]) == 1002
    with pytest.raises(ValueError, match=r"line 1002 holds \['A'\] in column 'id': a list in some rows"):
        read(path)


def test_lists_of_labels_are_lists_of_strings(write):
    path = write("a.jsonl", '{"text": "a", "labels": ["x", 1]}\n{"text": "b", "labels": []}\n')
    assert read(path)["labels"] == [["x", "1"], []]


def test_only_the_columns_that_are_asked_for_are_kept(write):
    path = write("a.csv", "id,text,label\n1,a,x\n")
    assert read(path, columns=["label", "view", "text"]) == {"text": ["a"], "label": ["x"]}


# Names of files


def test_names_are_no_patterns(write, tmp_path):
    for name in ("tweets1.csv", "a::b.csv", "tweets[12].csv", "a*.CSV"):
        write(name, f"text\n{name}\n")
    (tmp_path / "run[1]").mkdir()
    write("run[1]/train.csv", "text\nfolder\n")
    for name in ("a::b.csv", "tweets[12].csv", "a*.CSV"):
        assert read(tmp_path / name)["text"] == [name]
    assert read(tmp_path / "run[1]" / "train.csv")["text"] == ["folder"]
    with pytest.raises(ValueError, match=r"tweets\*\.csv does not exist. Patterns are not expanded"):
        read(tmp_path / "tweets*.csv")


def test_a_spreadsheet_is_told_how_to_become_a_csv(write):
    with pytest.raises(ValueError, match=r"read_excel\('a\.xlsx'\)\.to_csv\('a\.csv', index=False\)"):
        read(write("a.xlsx", "PK"))


# Cells and lines of a csv


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text,label\nhello,happy,en\n", "line 2 has 3 cells, but the header 2"),
        ("text,label\na,b\nI like it 1, really,happy\n", "line 3 has 3 cells, but the header 2"),
        ("text,label\n\n\na,b\nc\n", "line 5 has 1 cell, but the header 2"),
        ('text,label\na,b\n"c,b\nd,b\ne,b\n', "line 3 opens a quote that is never closed"),
        (
            'text,label\n"I like it,b\nfine,b\n"good",b\nbad,b\n',
            "line 2 opens a quote that is not closed before line 4",
        ),
        ('text,label\na,b\n"c"d,b\n', "line 3 has text behind a closing quote"),
        ("text,label,text\na,b,c\n", "has two columns of the name 'text': rename one"),
        ("text,label\n ,b\n", "line 2 holds no text in column 'text'"),
        ("text,label\na, \n", "line 2 holds no label in column 'label'"),
        ("title,label\na,b\n", "has no text column 'text'; its columns are 'title', 'label'."),
        ('text,"label\na,b\n', "line 1, the names of the columns, opens a quote that is never closed"),
    ],
)
def test_what_is_wrong_in_a_csv_is_told_by_its_line(content, message, write):
    path = write("a.csv", content)
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        read(path, text_columns=["text"], label_column="label")
    assert str(caught.value).startswith(f"The train file {path}")
    assert "\n" not in str(caught.value)


def test_a_quote_that_is_not_closed_costs_its_own_row_alone(write, caplog):
    path = write("a.csv", 'text,label\na,x\n"b,x\nc,x\n"d",x\n"two\nlines",x\n"e,x\nf,x\n')
    dropped = {}
    columns = read(path, skip_bad_rows=True, return_lines=True, dropped=dropped)
    assert columns["text"] == ["a", "c", "d", "two\nlines", "f"]
    assert columns["__line__"] == [2, 4, 5, 6, 9]
    assert dropped == {"train": {"quotes": 2}}
    assert f"The train file {path}: 2 of 7 rows are left out (2 quotes): line 3 opens a quote" in caplog.text


def test_a_header_in_the_midst_of_joined_files_is_no_row(write):
    path = write("a.csv", "text, label\na,x\ntext,label\nb,y\n")
    with pytest.raises(ValueError, match="line 3 is the header once more"):
        read(path)
    assert read(path, skip_bad_rows=True)["text"] == ["a", "b"]
    assert read(write("b.csv", "text\na\ntext\n"))["text"] == ["a", "text"]


@pytest.mark.parametrize(
    ("content", "end"),
    [
        (
            "text,label\na,b\na,b,c\n",
            ". A cell that holds the delimiter or a line end needs quotes around it. skip_bad_rows",
        ),
        ('text,label\na,b\n"c"d,b\n', '. In a cell between quotes, a quote is written twice (""). skip_bad_rows'),
    ],
)
def test_what_to_write_instead_is_told(content, end, write):
    with pytest.raises(ValueError, match=re.escape(end) + " leaves such rows out.$"):
        read(write("a.csv", content))


def test_where_no_row_is_good_none_is_to_be_skipped(write):
    with pytest.raises(ValueError, match="2 of 2 rows cannot be used") as caught:
        read(write("a.json", '[["a", "x"], ["b", "y"]]'))
    assert "line 1 holds ['a', 'x'], not an object" in str(caught.value)
    assert "skip_bad_rows" not in str(caught.value)


def test_the_rest_of_a_cell_is_no_row(write):
    path = write("a.csv", 'text,label\n"b\nrest" of it,x\nc,x\n')
    assert read(path, skip_bad_rows=True)["text"] == ["c"]


def test_bad_rows_are_counted_and_the_first_five_are_shown(write):
    path = write("a.csv", "text,label\n" + "a,x\n" * 3 + "b\n" * 10 + ",x\n" * 2)
    with pytest.raises(ValueError, match="12 of 15 rows cannot be used") as caught:
        read(path, text_columns=["text"])
    assert len(re.findall(r"line \d", str(caught.value))) == 5
    assert str(caught.value).endswith("needs quotes around it. skip_bad_rows leaves such rows out.")
    assert "; and 7 more. " in str(caught.value)


def test_bad_rows_are_counted_by_reason(write, caplog):
    lines = ["{", '["a"]', '{"text": 5, "label": "x"}', '{"text": " ", "label": "x"}', '{"text": "a"}', *GOOD_LINES]
    dropped = {}
    path = write("a.jsonl", "\n".join(lines))
    options = {"text_columns": ["text"], "label_column": "label", "skip_bad_rows": True, "dropped": dropped}
    assert read(path, **options)["text"] == ["5", *(row["text"] for row in ROWS)]
    assert dropped == {"train": Counter({"no valid JSON": 1, "no object": 1, "no text": 1, "no label": 1})}
    assert (
        "4 of 8 rows are left out (1 no valid JSON, 1 no object, 1 no text, 1 no label): line 1 is not" in caplog.text
    )


@pytest.mark.parametrize(
    ("name", "delimiter", "told"),
    [("a.csv", ";", True), ("a.csv", "\t", True), ("a.csv", "|", True), ("a.tsv", "\t", False), ("a.tsv", ",", True)],
)
def test_the_delimiter_is_found_in_the_header_and_told(name, delimiter, told, write, caplog):
    rows = [["id", "text", "label"], ["1", "a. b! c: d", "x"]]
    path = write(name, "".join(delimiter.join(row) + "\n" for row in rows))
    assert read(path) == dict(zip(rows[0], ([cell] for cell in rows[1])))
    assert (f"{path} is read with {delimiter!r} between its cells" in caplog.text) == told


@pytest.mark.parametrize(("delimiter", "text"), [(";", "a,b"), ("tab", "a,b;x"), ("\\t", "a,b;x")])
def test_a_delimiter_that_is_named_decides(delimiter, text, write):
    path = write("a.csv", "text;label,n\na,b;x\n")
    columns = read(path, delimiter=delimiter)
    assert next(iter(columns.values())) == [text]
    with pytest.raises(ValueError, match="delimiter='ab' is no single character"):
        read(path, delimiter="ab")


@pytest.mark.parametrize("end", ["\r", "\r\n", "\n"])
def test_every_kind_of_line_end_and_blank_first_lines(end, write):
    path = write("a.csv", end.join(["", " text , label ", "a,x", '"b, c",y', "", "d,x"]))
    columns = read(path, return_lines=True)
    assert columns == {"text": ["a", "b, c", "d"], "label": ["x", "y", "x"], "__line__": [3, 4, 6]}
    path = write("a.jsonl", end.join(["", *GOOD_LINES]))
    assert read(path, return_lines=True)["__line__"] == [2, 3, 4]


def test_cells_may_be_as_long_as_books(write):
    assert read(write("a.csv", "text,label\n" + "a" * 200_000 + ",x\n"))["text"] == ["a" * 200_000]


# JSON of other shapes


def test_a_list_may_come_after_a_blank_line_and_knows_its_lines(write):
    path = write("a.json", "\n" + json.dumps(ROWS, indent=2))
    assert read(path, return_lines=True)["__line__"] == [3, 7, 11]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (json.dumps(ROWS, indent=2) + "\n" + json.dumps(ROWS), 'line 15 has \'[{"text": "S'),  # joined by `cat`
        (f"[{GOOD_LINES[0]}]\n[{GOOD_LINES[1]}]", 'line 2 has \'[{"text"'),
        (f"[{GOOD_LINES[0]}]  oops\n", "line 1 has 'oops' behind the end of the list: write all rows into one list"),
        ("[]\n\n[]", "line 3 has '[]'"),
    ],
)
def test_what_stands_behind_a_list_is_not_lost(content, words, write):
    with pytest.raises(ValueError, match=re.escape(f"a.json, {words}")):
        read(write("a.json", content))


def test_rows_in_a_field_are_read(write):
    content = {"version": 1.0, "x": {"data": []}, "data": ROWS, "more": [1]}
    for indent in (None, 1):
        path = write("a.json", json.dumps(content, indent=indent))
        assert Dataset.from_dict(read(path, json_field="data")).to_list() == ROWS
        with pytest.raises(ValueError, match=r"'data' \(list of 3 objects\).*: json_field='data' reads the rows"):
            read(path, text_columns=["text"])
    with pytest.raises(ValueError, match="has no list in json_field='rows': it is one object of 'version'"):
        read(path, json_field="rows")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"text": {"0": "a"}, "label": {"0": "x"}}, ["'text' (an object)", "orient='records', lines=True"]),
        ({"text": ["a"], "label": ["x"]}, ["'text' (list of 1 values)", "write one object per row"]),
        (
            {"train": [["a", "x"]] * 100, "val": [["b", "y"]]},
            ["'train' (list of 100 lists)", "write one object per row", "for text, label in data['train']]"],
        ),
        ({"oos": [{"text": "a"}] * 2, "n": []}, ["'oos' (list of 2 objects)", "json_field='oos' reads"]),
    ],
)
@pytest.mark.parametrize("indent", [None, 1])
def test_the_shape_of_other_json_is_told(content, words, indent, write):
    with pytest.raises(ValueError, match=r"a\.json is one object of ") as caught:
        read(write("a.json", json.dumps(content, indent=indent)))
    assert all(word in str(caught.value) for word in words), caught.value


def test_an_object_with_two_fields_of_one_name_is_a_bad_row(write):
    with pytest.raises(ValueError, match="line 2 is not valid JSON: an object has two fields 'text'"):
        read(write("a.jsonl", GOOD_LINES[0] + '\n{"text": "a", "text": "b"}\n'))


# Plain text and fastText


def test_plain_text_is_one_text_a_line(write):
    assert read(write("a.txt.gz", "a b\n c\u2028d \n")) == {"text": ["a b", " c\u2028d "]}


def test_lines_of_fasttext(write):
    path = write("a.txt", "__label__glad  a cake,  and\tmore \n\n__label__sad it broke\n")
    expected = {"text": ["a cake,  and\tmore", "it broke"], "label": ["glad", "sad"], "__line__": [1, 3]}
    assert read(path, return_lines=True) == expected
    several = read(write("c.txt", "__label__glad __label__proud a\n__label__sad\t__label__glad  b c\n"))
    assert several == {"text": ["a", "b c"], "label": [["glad", "proud"], ["sad", "glad"]]}
    with pytest.raises(ValueError, match="line 2 does not begin with __label__NAME"):
        read(write("b.txt", "__label__glad a\nb\n"))


# Encodings


def test_a_byte_that_is_no_utf8_is_named_and_another_encoding_reads_it(write):
    path = write("a.csv", "text,label\na,x\ncaf\u00e9 \u20ac,x\n".encode("cp1252"))
    with pytest.raises(
        ValueError, match=r"line 3 holds the byte 0xE9, which is no utf-8 \(encoding='cp1252' may read it\)"
    ):
        read(path)
    with pytest.raises(ValueError, match="line 3 holds the byte 0xE9, which is no ascii, in column 'text'"):
        read(path, encoding="ascii")
    assert read(path, encoding="cp1252")["text"] == ["a", "caf\u00e9 \u20ac"]
    assert read(path, skip_bad_rows=True)["text"] == ["a"]
    assert read(path, columns=["label"])["label"] == ["x", "x"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_marks_of_the_byte_order(encoding, write):
    path = write("a.csv", "text,label\n\u00e9,x\n".encode(encoding))
    if encoding == "utf-16":
        with pytest.raises(ValueError, match=r"a\.csv is UTF-16 text, not UTF-8: encoding='utf-16' reads it"):
            read(path)
    assert read(path, encoding=encoding.removesuffix("-sig")) == {"text": ["\u00e9"], "label": ["x"]}


@pytest.mark.parametrize("encoding", ["utf-99", "base64"])
def test_an_unknown_encoding(encoding, write):
    with pytest.raises(ValueError, match=f"encoding='{encoding}' is unknown"):
        read(write("a.csv", "text\na\n"), encoding=encoding)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "téxt,label\na,b\n".encode("cp1252"), "the names of the columns: 't\\udce9xt' holds the byte 0xE9"),
        ("a.csv", "text,label\na,b\n".encode("utf-16-le"), "is UTF-16 text, not UTF-8: encoding='utf-16-le' reads it"),
        ("a.txt", "text\n".encode("utf-16-be"), "is UTF-16 text, not UTF-8: encoding='utf-16-be' reads it"),
        ("a.csv", "text,label\na,b\n".encode("utf-32"), "is UTF-32 text, not UTF-8: encoding='utf-32' reads it"),
        ("a.csv", gzip.compress(b"text,label\na,b\n", mtime=0), "is gzipped: add .gz to its name"),
        ("a.csv", b"PK\3\4\x14\0\6\0", "is a spreadsheet or a zip archive: save it as csv, or unpack it"),
        ("a.jsonl", b"PAR1\x15", "is a parquet file: let its name end in .parquet"),
    ],
)
def test_what_is_no_text_of_the_encoding_is_named_before_its_columns(name, content, message, write):
    with pytest.raises(ValueError, match=re.escape(message)):
        read(write(name, content), text_columns=["text"])


def test_a_column_that_is_used_must_be_decodable_and_a_picture_may_stand_beside(write, tmp_path):
    path = write("a.csv", "text,label,place\na,b,caf\xe9\n".encode("cp1252"))
    with pytest.raises(ValueError, match=r"a\.csv, line 2 holds the byte 0xE9.* in column 'place'"):
        list(Reader().rows(path))
    assert len(list(Reader().rows(path, columns=["label"]))) == 1
    picture = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": [b"a"], "picture": [b"\x89PNG"]}), picture)
    assert [row.texts for row in Reader().rows(picture)] == [("a",)]


def test_half_a_character_is_named(write):
    with pytest.raises(ValueError, match=r"line 1 holds half of a character \(\\ud83d\) in column 'text'"):
        read(write("a.jsonl", '{"text": "\\ud83d"}\n'))


# Labels


def test_a_test_file_whose_labels_are_all_empty_has_none(write, caplog):
    files = {"train": write("a.csv", "text,label\na,x\n"), "test": write("b.csv", "text,label\na,\nb, \n")}
    splits = load_splits(files, text_columns=["text"], label_column="label")
    assert splits["test"].column_names == ["text"]
    assert "b.csv has no labels in column 'label': no metrics." in caplog.text
    with pytest.raises(ValueError, match=r"2 of 2 rows cannot be used: line 2 holds no label"):
        load_splits({"train": files["test"]}, label_column="label")


# Rows one by one


def test_rows_of_a_stream(monkeypatch):
    def rows(content, **options):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
        return Reader(**{name: value for name, value in options.items() if name == "skip_bad_rows"}).rows(
            "-", stream_kind=options.get("kind", "txt")
        )

    assert [(row.line, row.texts) for row in rows(b"a\nb\n")] == [(1, ("a",)), (2, ("b",))]
    found = rows(b"a\n\nb\n")
    assert next(found).texts == ("a",)
    with pytest.raises(ValueError, match=r"The standard input, line 2 holds no text in column 'text'\. skip_bad_rows"):
        next(found)
    assert [row.line for row in rows(b"a\n\nb\n", skip_bad_rows=True)] == [1, 3]
    assert [row.values for row in rows(b"id;text\n7;a\n", kind="csv")] == [{"id": "7", "text": "a"}]


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl.gz", "a.txt"])
def test_a_file_is_never_held_in_memory(name, write):
    text = "x" * 2000
    head, line = {"a.csv": ("text,label\n", f"{text},b\n"), "a.txt": ("", f"{text}\n")}.get(
        name, ("", f'{{"text": "{text}"}}\n')
    )
    path = write(name, head + line * 3000)
    next(Reader().rows(path))  # imports must not count
    tracemalloc.start()
    assert sum(len(row.texts[0]) for row in Reader().rows(path)) == 6_000_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4e6  # of 6e6; the columns of JSON are those of its first rows


def test_values_of_json_keep_their_kind_and_texts_are_letters(write):
    path = write("a.jsonl", '{"text": 3.10, "id": 5, "flag": true, "meta": {"a": [1.50]}}\n')
    (row,) = Reader().rows(path)
    assert row.texts == ("3.10",)
    assert json.loads(json.dumps(row.values)) == {"text": 3.1, "id": 5, "flag": True, "meta": {"a": [1.5]}}


@pytest.mark.parametrize(
    ("names", "columns", "expected"),
    [
        (None, ["id", "sentence"], ["sentence"]),
        (None, ["text", "sentence"], ["text"]),
        ("a, b", ["a", "b"], ["a", "b"]),
        ("a, b", ["a, b", "a", "b"], ["a, b"]),
        ("a, b", ["a", " b"], ["a", " b"]),
        ("text ", ["text "], ["text "]),
    ],
)
def test_names_of_columns(names, columns, expected):
    assert named_columns(names, columns) == expected


def test_a_column_that_is_named_twice_is_refused():
    with pytest.raises(ValueError, match="text_column_names='text, text' names a column twice"):
        named_columns("text, text", ["text", "label"])


def test_an_empty_stream_has_no_rows(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
    with pytest.raises(ValueError, match="The standard input has no rows"):
        list(Reader().rows("-"))
