"""The columns of texts and labels are detected from the rows, or the user has to name them."""

import random

import pytest

from hf_lcl.commands.columns import find_columns


WORDS = ["card", "lost", "payment", "late", "refund", "cash", "machine", "app", "code", "transfer"]


def tickets(rows: int = 120) -> list[dict[str, str]]:
    rng = random.Random(0)
    return [
        {
            "Ticket ID": f"T-{row:05d}",
            "Created": f"2024-{row % 12 + 1:02d}-{row % 28 + 1:02d}",
            "Body": " ".join(rng.choices(WORDS, k=rng.randint(4, 9))) + f" {row}",
            "Queue": f"queue {row % 5}",
        }
        for row in range(rows)
    ]


def test_a_file_with_one_of_each_needs_no_names():
    text, label, reasons = find_columns(tickets())
    assert (text, label) == ("Body", "Queue")
    assert "Body" in reasons[0]
    assert "Queue (5 values)" in reasons[1]


def test_what_is_named_is_taken_and_not_told():
    rows = [row | {"Note": row["Body"] + " again", "Colour": row["Created"][-1]} for row in tickets()]
    assert find_columns(rows, text="Note", label="Colour") == ("Note", "Colour", [])
    assert find_columns(tickets(), label="Queue")[0] == "Body"


def test_a_known_name_decides_among_several():
    rows = [row | {"text": row["Body"] + " again", "Priority": row["Created"][-1]} for row in tickets()]
    assert find_columns(rows)[:2] == ("text", "Queue")


def test_lists_that_are_written_as_text_hold_labels():
    values = [str(sorted({f"tag {row % 4}", f"tag {row % 7 % 4}"})) for row in range(120)]
    rows = [{"Body": row["Body"], "Marks": marks} for row, marks in zip(tickets(), values)]
    text, label, reasons = find_columns(rows)
    assert (text, label) == ("Body", "Marks")
    assert "Marks (4 values)" in reasons[1]


def test_a_column_is_judged_by_its_cells_that_are_not_empty():
    rows = [row | {"Remark": "please call the customer back" if n == 3 else ""} for n, row in enumerate(tickets())]
    rows[4]["Body"] = None
    with pytest.raises(ValueError, match="several columns that may be the text"):
        find_columns([{("Words" if name == "Body" else name): value for name, value in row.items()} for row in rows])


def test_texts_without_blanks_are_texts():
    rows = [{"a": "我的银行卡昨天在商店里丢了怎么办" + str(n), "b": "卡片" if n % 2 else "转账"} for n in range(30)]
    assert find_columns(rows)[:2] == ("a", "b")


@pytest.mark.parametrize(
    ("drop", "message"),
    [
        (
            "Body",
            "tickets.csv has no column that looks like texts: write --text_column_names NAME. Its columns: Ticket",
        ),
        ("Queue", "tickets.csv has no column that looks like labels: write --label_column_name NAME."),
    ],
)
def test_what_is_not_there_is_asked_for(drop, message):
    rows = [{name: value for name, value in row.items() if name != drop} for row in tickets()]
    rows = [row | {"Created": f"{row['Ticket ID']}"} for row in rows]
    with pytest.raises(ValueError, match=message):
        find_columns(rows, source="tickets.csv")


def test_in_doubt_the_candidates_are_named():
    rows = [row | {"Team": row["Queue"][-1], "Unit": row["Queue"][-1]} for row in tickets()]
    for row in rows:
        del row["Queue"], row["Created"]
    with pytest.raises(
        ValueError, match=r"Team \(5 values\), Unit \(5 values\). Write one .* --label_column_name Team"
    ):
        find_columns(rows)


def test_columns_of_0_and_1_may_be_labels_of_one_text():
    rows = [{"text": f"a text of words {row}", "joy": str(row % 2), "fear": str(row // 2 % 2)} for row in range(12)]
    with pytest.raises(ValueError, match="Write --label_columns joy fear, if each says whether a text has that label"):
        find_columns(rows)
