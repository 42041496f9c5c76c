"""The benchmark of wrapping on tiny shapes, and its exact counts."""

import json

import pytest
import wrapping


TINY = [
    "--layers=2",
    "--hidden_size=64",
    "--vocab_size=500",
    "--num_labels=4",
    "--batch_size=8",
    "--sequence_length=16",
    "--warmup=1",
]


@pytest.mark.slow
def test_every_trainer_is_measured_and_the_encoder_runs_once(tmp_path, capsys):
    wrapping.main([*TINY, "--rounds=6", f"--output_dir={tmp_path}"])
    report = json.loads((tmp_path / "wrapping.json").read_text())
    plain, *wrapped = report["rows"].values()
    assert len(wrapped) == 4
    for row in wrapped:
        for clock in ("seconds", "processor_seconds"):
            assert len(row[clock]["samples"]) == 6
            assert min(row[clock]["samples"]) > 0
        assert row["peak_bytes"] > 0
        # A second forward pass would add a third of the operations, a copy of the activations their size.
        assert plain["operations"] <= row["operations"] < 1.05 * plain["operations"]
        assert plain["kept_bytes"] <= row["kept_bytes"] < 1.05 * plain["kept_bytes"]
    table = (tmp_path / "wrapping.md").read_text()
    assert table in capsys.readouterr().out
    assert all(f"| {name} | {row['seconds']['median']:.3f} |" in table for name, row in report["rows"].items())


@pytest.mark.parametrize(("flag", "words"), [("--hidden_size=100", "multiple of 64"), ("--rounds=5", "use >= 6")])
def test_shapes_that_cannot_be_measured(tmp_path, flag, words):
    with pytest.raises(ValueError, match=words):
        wrapping.main([*TINY, flag, f"--output_dir={tmp_path / 'out'}"])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("count", "outside"), [(6, 1), (8, 1), (9, 2), (12, 3), (24, 7)])
def test_the_interval_of_a_median_is_that_of_the_tables(count, outside):
    # Ranks of the distribution-free 95% interval, as in tables of the sign test.
    values = [float(rank) for rank in range(count, 0, -1)]
    assert wrapping.median_interval(values) == (outside, count + 1 - outside)


@pytest.mark.parametrize(
    ("interval", "expected"), [((0.9, 1.05), "reached"), ((1.06, 1.2), "missed"), ((0.8, 1.2), "undecided")]
)
def test_noise_decides_nothing(interval, expected):
    assert wrapping.verdict(interval, 1.05) == expected
