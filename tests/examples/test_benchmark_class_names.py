"""The benchmark of class names, on made-up texts in the layout of a recipe and a tiny encoder."""

import json

import class_names


CELL = "emoint, 8 each"


def test_each_kind_of_names_is_measured(tmp_path, data_dir, encoder_folder):
    results = tmp_path / "class_names.jsonl"
    flags = [f"--encoder={encoder_folder}", f"--data_dir={data_dir}", f"--results={results}", "--cells", CELL]
    flags += ["--seeds", "3"]
    class_names.main(flags)
    (run,) = map(json.loads, results.read_text().splitlines())
    found = run["closeness"]
    assert {kind: len(values) for kind, values in found.items()} == {"own": 1, "letters": 1, "numbers": 1, "nouns": 20}
    assert len(set(found["nouns"])) > 1
    page = results.with_suffix(".md").read_text()
    span = f"{min(found['nouns']):.2f} to {max(found['nouns']):.2f}"
    assert f"| {CELL}, seed 3 | 4 | {found['own'][0]:.2f} | " in page
    assert f" | {span} | " in page
    class_names.main(flags)
    assert len(results.read_text().splitlines()) == 1
