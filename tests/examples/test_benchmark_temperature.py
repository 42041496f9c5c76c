"""The benchmark of temperatures, on made-up texts in the layout of a recipe and a tiny encoder."""

import json

import pytest
import temperature


CELL = "emoint, 8 each"


@pytest.mark.slow
def test_temperatures_of_more_texts_come_closer_to_the_best(tmp_path, data_dir, encoder_folder):
    results = tmp_path / "temperature.jsonl"
    flags = [f"--encoder={encoder_folder}", f"--data_dir={data_dir}", f"--results={results}", "--cells", CELL]
    flags += ["--sizes", "2", "10", "--held_out", "60"]
    temperature.main(flags)
    (run,) = map(json.loads, results.read_text().splitlines())
    assert run["texts"]["train"] == 32
    assert run["best"]["nll"] <= run["after"]["10"]["nll"] <= run["after"]["2"]["nll"]
    assert run["best"]["nll"] <= run["before"]["nll"]
    page = results.with_suffix(".md").read_text()
    assert f"| 10 texts | {run['after']['10']['nll']:.2f} ({run['after']['10']['better']:.0%}) |" in page
    assert f"| before | {run['before']['error']:.2f} |" in page
    temperature.main(flags)
    assert len(results.read_text().splitlines()) == 1


def test_a_summary_counts_the_temperatures_that_help():
    before = {"nll": 1.0}
    after = [{"temperature": number, "nll": number, "error": 10 * number} for number in (0.5, 0.9, 1.6)]
    assert temperature.summary(before, after) == pytest.approx(
        {"temperature": 1.0, "nll": 1.0, "error": 10.0, "better": 2 / 3}
    )


def test_more_texts_than_there_are_to_sample_from_are_refused(tmp_path):
    with pytest.raises(ValueError, match="--sizes 200 is more than half of --held_out 100"):
        temperature.Settings("encoder", tmp_path / "temperature.jsonl", held_out=100)
