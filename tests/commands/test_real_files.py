"""Every command reads the cells of real files unchanged, or a one-line error names the place that it cannot read."""

import json

import pytest
from transformers import AutoModelForSequenceClassification

from hf_lcl.__main__ import main


CLASSES = ["angry", "annoyed", "glad", "proud"]
TEXTS = {"angry": "furious rage", "annoyed": "sigh queue", "glad": "party cake", "proud": "medal won"}


@pytest.fixture
def written(tmp_path):
    """Writes files with the given content, as in `train_csv=...`; returns the flags that name them."""

    def written(**contents: str | bytes) -> dict[str, str]:
        flags = {}
        for name, content in contents.items():
            split, _, suffix = name.partition("_")
            path = tmp_path / f"{split}.{suffix or 'csv'}"
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
            flags[f"{split}_file"] = str(path)
        return flags

    return written


@pytest.fixture
def train(start, written, tmp_path, without_pictures):
    """Trains for one step on such files; flags can be overridden."""

    def train(*others: str, do: tuple[str, ...] = ("train",), max_steps: int = 1, **contents: str | bytes) -> None:
        flags = [f"--model_name_or_path={start['model_name_or_path']}", f"--output_dir={tmp_path / 'out'}"]
        flags += ["--objective=ce", f"--max_steps={max_steps}", "--use_cpu=true", "--disable_tqdm=true"]
        flags += ["--save_strategy=no", *(f"--{name}={path}" for name, path in written(**contents).items())]
        main(["train", *flags, *(f"--do_{name}" for name in do), *others])

    return train


@pytest.fixture
def refused(train):
    """Starts such a training, which fails, and returns its one-line error message."""

    def refused(*others: str, **contents) -> str:
        with pytest.raises(SystemExit) as stopped:
            train(*others, **contents)
        message = str(stopped.value)
        assert message.startswith("error: ")
        assert "\n" not in message
        return message

    return refused


def csv(rows: int = 16, head: str = "text,label", line: str = "{text},{label}") -> str:
    """A file of texts with separable classes."""
    names = [CLASSES[row % 4] for row in range(rows)]
    lines = [line.format(text=TEXTS[name], label=name, id=row, other=3 - row % 4) for row, name in enumerate(names)]
    return "\n".join([head, *lines]) + "\n"


def results(tmp_path) -> dict[str, float]:
    return json.loads((tmp_path / "out" / "all_results.json").read_text())


def test_foreign_columns_do_not_act_by_their_name(train, tmp_path):
    head, line = "text,label,label_ids,position_ids,labels,inputs_embeds", "{text},{label},{other},{id},{other},1.5"
    flags = ("--learning_rate=5e-3", "--per_device_train_batch_size=16")
    train(*flags, max_steps=25, do=("train", "predict"), train=csv(64, head, line), test=csv(16))
    assert results(tmp_path)["predict_accuracy"] == 1.0
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")
    assert list(model.config.id2label.values()) == CLASSES


@pytest.mark.parametrize(
    ("contents", "others", "words"),
    [
        ({"train": csv() + "hello,happy,en\n"}, [], ["train.csv, line 18 has 3 cells, but the header 2"]),
        ({"train": csv() + '"hello,glad\nbye,sad\n'}, [], ["train.csv, line 18 opens a quote that is never closed"]),
        ({"train": csv(head="text,label,text", line="{text},{label},x")}, [], ["two columns of the name 'text'"]),
        ({"train": csv().encode() + "café,glad\n".encode("cp1252")}, [], ["line 18 holds the byte 0xE9", "'cp1252'"]),
        ({"train": csv().encode("utf-16")}, [], ["is UTF-16 text", "--encoding 'utf-16'"]),
        ({"train": "text,label\n"}, [], ["train.csv has no rows"]),
        ({"train": csv()}, ["--text_column_names=label"], ["'label' cannot be both text and label"]),
        ({"train": csv()}, ["--delimiter=ab"], ["--delimiter 'ab'"]),
        ({"train": csv()}, ["--encoding=utf-99"], ["--encoding 'utf-99' is unknown"]),
        (
            {"train": csv(), "validation": csv(3)},
            ["--max_train_samples=2"],
            ["'glad' does not occur", "--max_train_samples 2 left 14 rows of the train split out"],
        ),
        ({"train": csv(), "validation": "text,label\na,\n"}, ["--do_eval"], ["validation", "no labels"]),
        (
            {"train_json": json.dumps({"data": [{"text": "a", "label": "b"}]})},
            [],
            ["--json_field 'data' reads the rows"],
        ),
    ],
)
def test_what_cannot_be_read_ends_in_one_line(contents, others, words, refused):
    message = refused(*others, **contents)
    assert all(word in message for word in words), message


@pytest.mark.parametrize(
    ("contents", "flags"),
    [
        ({"train": csv(head="text;label", line="{text};{label}")}, {}),
        ({"train_tsv": csv(head="text\tlabel", line="{text}\t{label}")}, {}),
        ({"train_CSV": csv(head="id|labels|label", line="{id}|{text}|{label}")}, {"text_column_names": "labels"}),
        ({"train": csv(head='"a, b",label', line="{text},{label}")}, {"text_column_names": "a, b"}),
        (
            {"train": csv(head="label,kind", line="{text},{label}")},
            {"text_column_names": "label", "label_column_name": "kind"},
        ),
        ({"train_txt": csv(head="", line="__label__{label} {text}")}, {}),
        ({"train": csv().encode("utf-16")}, {"encoding": "utf-16"}),
        ({"train": csv() + "a,b,c\n,glad\n"}, {"skip_bad_rows": "true"}),
        ({"train": csv().replace("\n", "\r")}, {}),
        ({"train": csv(head="text,label,id", line='{text},{label},"A{id}"')}, {}),
        (
            {"train_json": json.dumps({"data": [{"text": "x", "label": name} for name in CLASSES * 4]})},
            {"json_field": "data"},
        ),
    ],
)
def test_what_can_be_read_is_read(contents, flags, read, written):
    splits, names, _ = read(validation_file=None, test_file=None, **written(**contents), **flags)
    assert len(splits["train"]) == 16
    assert names == CLASSES
    assert splits["train"]["labels"][:4] == [0, 1, 2, 3]


@pytest.mark.parametrize("label", ["", "-1"])
def test_placeholders_for_labels_are_no_labels(label, read, written, caplog):
    files = written(train=csv(), test=csv(line="{text}," + label))
    splits, _, _ = read(validation_file=None, do_predict="true", **files)
    assert len(splits["test"]) == 16
    assert "labels" not in splits["test"].column_names
    assert "has no labels in column 'label': no metrics." in caplog.text


def test_rows_that_are_left_out_are_counted_in_the_table_and_on_the_card(train, tmp_path, capsys):
    train("--skip_bad_rows", train=csv() + "a,b,c\n,glad\n ,glad\n")
    printed = capsys.readouterr().out
    assert "dropped: no text" in printed
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "2 rows of the train split were left out (no text)" in card


def test_evaluate_predict_and_train_read_alike(plain, tmp_path, fails):
    content = 'id;text;label\n1;"party; cake";glad\n2;furious rage;angry\n3;;glad\n4;a;b;c\n'.encode("utf-16")
    source, found, out = tmp_path / "a[1].csv", tmp_path / "found.json", tmp_path / "out.csv"
    source.write_bytes(content)
    (tmp_path / "a1.csv").write_text("text,label\nwrong,proud\n")
    flags = ["--encoding", "utf-16", "--skip_bad_rows"]
    main(["evaluate", str(plain), "--test_file", str(source), "--output_file", str(found), *flags])
    assert json.loads(found.read_text())["samples"] == 2
    main(["predict", str(plain), str(source), "--output_file", str(out), *flags])
    assert [line.split(",")[0] for line in out.read_text().splitlines()[1:]] == ["2", "3"]
    for command in (["predict", str(plain), str(source)], ["evaluate", str(plain), "--test_file", str(source)]):
        message = fails([*command, "--encoding", "utf-16"])
        assert "2 of 4 rows cannot be used: line 4 holds no text in column 'text'; line 5 has 4 cells" in message


def test_labels_that_are_needed(plain, tmp_path, fails):
    (tmp_path / "a.csv").write_text("text,label\nparty,-1\ncake,-1\n")
    message = fails(["evaluate", str(plain), "--test_file", str(tmp_path / "a.csv")])
    assert "The test split has no labels: column 'label' is empty or -1 throughout." in message
