"""The benchmark of texts per CPU second: all contenders predict the same, and the table compares their speed."""

import csv

import serving


def test_both_contenders_answer_each_text_with_the_same_label(plain, make_texts, tmp_path):
    make_texts(8, 3).to_json(tmp_path / "few.jsonl")
    answers = []
    for name, answer in (("pipeline", serving.with_pipeline), ("predict", serving.with_predict)):
        answer(plain, tmp_path / "few.jsonl", tmp_path / f"{name}.csv")
        with (tmp_path / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            answers.append([(row["text"], row.get("predicted_label", row["label"])) for row in csv.DictReader(file)])
    assert len(answers[0]) == 32
    assert answers[0] == answers[1]
    assert len({label for _, label in answers[0]}) > 1


def test_the_table_compares_with_the_pipeline():
    def runs(*seconds):
        return [{"start": 5.0, "few": 1.0, "all": 1.0 + taken, "peak_bytes": 2**20} for taken in seconds]

    found = {
        name: serving.summarized(runs(*seconds), counted=100)
        for name, seconds in (
            (serving.PIPELINE, (4, 2, 5)),
            (serving.TORCH, (2, 2, 1)),
            (serving.INT8, (2, 2, 2)),
        )
    }
    assert [row["texts_per_second"] for row in found.values()] == [25, 50, 50]
    for row in found.values():
        row |= {"times_pipeline": row["texts_per_second"] / 25, "same_label": 1.0}
    machine = {"device": "a processor", "threads": 1, "cpus": 2}
    texts = {"file": "texts.jsonl", "number": 100}
    page = serving.markdown(
        {"max_drop": 0.5, "contenders": found, "machine": machine, "versions": {"torch": "2"}, "texts": texts}
    )
    assert "| `hf-lcl predict`, int8 | 50.0 | 2.00 | 5.0 | 1 | 100.0% |" in page
    assert "predict` at least 1.5 times the pipeline: reached" in page
    assert "int8 at least 3.0 times the pipeline: missed" in page
