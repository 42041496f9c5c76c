"""The study of accuracy, on made-up texts in the layout of a recipe and a tiny encoder."""

import json
import math
from dataclasses import replace
from importlib.util import find_spec

import accuracy
import numpy as np
import pytest
import torch
from recipes import recipe_names
from study import ingredients, rivals
from study.cells import CELLS, Task, few_of_each, load_cell
from study.cost import seconds_to
from study.regret import holm, regret_tables
from study.rivals import RIVALS
from study.runs import add_known_defaults, correct
from study.starts import cross_validated
from study.systems import SYSTEMS, TRAINERS, ours
from study.table import markdown
from study.trials import TRIALS

from hf_lcl import ContrastiveTrainingArguments
from hf_lcl.losses import Objective
from hf_lcl.start.head import _logistic_regression


CELL = "emoint, 8 each"


@pytest.fixture
def flags(tmp_path, data_dir, encoder_folder) -> list[str]:
    """Data, encoder and results of the test."""
    return [
        f"--encoder={encoder_folder}",
        f"--data_dir={data_dir}",
        f"--results={tmp_path / 'accuracy.jsonl'}",
        "--cells",
        CELL,
    ]


def lines(tmp_path) -> list[dict]:
    return [json.loads(line) for line in (tmp_path / "accuracy.jsonl").read_text().splitlines()]


def test_the_default_is_one_of_two_systems_by_whether_its_batches_hold_names():
    cells = ["emoint, 8 each", "banking77, 5 each", "tweeteval, 16 each"]
    runs = {
        (cell, system): {2: f"{system} 2", 3: f"{system} 3"}
        for cell in cells
        for system in ("lcl-anchors", "lcl-learned")
    }
    runs |= {("emoint, 8 each", "lcl-default"): {2: "its own"}, ("sst5", "lcl-learned"): {0: "lcl-learned 0"}}
    add_known_defaults(runs)
    assert [runs.get((cell, "lcl-default")) for cell in (*cells, "sst5")] == [
        {2: "its own", 3: "lcl-anchors 3"},
        {2: "lcl-learned 2", 3: "lcl-learned 3"},
        {2: "lcl-anchors 2", 3: "lcl-learned 3"},
        None,
    ]


def finished(*bits: int) -> dict:
    """A finished run with these texts classified correctly; its other results do not matter."""
    return {
        "settings": {"tested_on": "validation"},
        "correct": np.packbits(np.array(bits, dtype=bool)).tobytes().hex(),
        "texts": {"test": len(bits)},
        "fingerprints": {"train": "of one draw"},
        "metrics": {"accuracy": 0.5, "macro_f1": 0.5},
        "seconds": 1.0,
        "peak_bytes": 1,
        "machine": {"device": "any", "threads": 1},
        "versions": {},
    }


def test_all_runs_are_open_at_first(flags, tmp_path, capsys):
    accuracy.main([*flags, "--list", "--seeds", "0", "1"])
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 2 * (len(SYSTEMS) + len(RIVALS))
    assert printed[0] == f"trainer-ce on {CELL}, seed 0"
    assert not (tmp_path / "accuracy.jsonl").exists()


@pytest.mark.parametrize(("flag", "value"), [("cells", "imdb"), ("systems", "bert"), ("tested_on", "train")])
def test_unknown_names_are_refused(flags, flag, value):
    with pytest.raises(ValueError, match=f"--{flag} '{value}' is unknown: use some of "):
        accuracy.main([*flags, f"--{flag}", value])


def test_every_cell_is_of_a_known_recipe():
    assert {cell.data for cell in CELLS.values()} <= set(recipe_names())


def test_each_seed_draws_its_own_texts(data_dir):
    drawn = [load_cell(CELLS[CELL], str(data_dir), "test", seed) for seed in (0, 0, 1)]
    assert all(np.bincount(splits["train"]["label"][:]).tolist() == [8] * 4 for splits in drawn)
    assert drawn[0]["train"].to_list() == drawn[1]["train"].to_list() != drawn[2]["train"].to_list()
    assert len(drawn[0]["test"]) == 60
    assert len(few_of_each(drawn[0]["train"], 100, seed=0)) == 32


def test_the_names_of_classes_are_texts_of_a_regression_that_is_given_them(data_dir, encoder_folder, monkeypatch):
    fitted = []
    monkeypatch.setattr(rivals, "fit_regression", lambda task, *args, **settings: fitted.append(task.splits["train"]))
    splits = load_cell(CELLS[CELL], str(data_dir), "test", seed=0)
    task = Task(str(encoder_folder), CELLS[CELL], splits, seed=0, bf16=False, max_seq_length=128)
    for name in ("logistic-regression", "logistic-regression-names"):
        RIVALS[name].fit(task, **RIVALS[name].options)
    plain, named = fitted
    assert named[: len(plain)] == plain[:]
    assert named[len(plain) :] == {"text": task.names, "label": [0, 1, 2, 3]}


def test_a_default_that_changes_makes_another_run_and_an_option_that_is_off_does_not():
    plain = ours(objective="lcl").options
    assert ours(objective="lcl", head_refit=False).options["training"] == plain["training"] | {"head_refit": False}
    assert plain["training"]["temperature"]
    assert "head_refit" not in plain["training"]
    assert "temperature" not in ours(objective="ce").options["training"]


def test_gains_are_paired_by_text_and_seed():
    mine, other = finished(*[1, 0] * 50, 1), finished(*[1, 0] * 40, *[0] * 21)
    assert correct(mine).tolist() == [1, 0] * 50 + [1]
    runs = {(CELL, "lcl"): {0: mine, 1: other}, (CELL, "ce"): {0: other, 2: mine}}
    page = markdown({key: {0: seeds[0]} for key, seeds in runs.items()}, [CELL], ["ce", "lcl"])
    assert markdown(runs, [CELL], ["ce", "lcl"]).count("**+10.9 [") == page.count("**+10.9 [") == 1
    runs[CELL, "lcl"][2] = other
    assert "| lcl | +0.0 [+0.0, +0.0] p = 1.00 |" in markdown(runs, [CELL], ["ce", "lcl"])


def test_what_was_learned_and_what_forgotten_is_counted_from_the_frozen_encoder():
    frozen = {0: finished(1, 1, 1, 0, 0, 0, 0, 0), 1: finished(*[1] * 8)}
    runs = {(CELL, "logistic-regression"): frozen, (CELL, "lcl"): {0: finished(0, 1, 1, 1, 1, 1, 0, 0)}}
    page = markdown(runs, [CELL], ["logistic-regression", "lcl"]).partition("## Learned and forgotten")[2]
    assert "| logistic-regression |  |\n| lcl | +37.5 -12.5 |" in page


def test_likelihoods_are_means_over_the_runs_that_have_them():
    old, new, newer = (finished(1, 0) for _ in range(3))
    new["metrics"] = new["metrics"] | {"nll": 1.0, "calibration_error": 0.2}
    newer["metrics"] = newer["metrics"] | {"nll": 3.0, "calibration_error": 0.1}
    page = markdown({(CELL, "lcl"): {0: old, 1: new, 2: newer}, (CELL, "ce"): {0: old}}, [CELL], ["ce", "lcl"])
    assert "| ce |  |\n| lcl | 2.00, 15.0 (2) |" in page.partition("## Likelihood and calibration")[2]
    assert "## Likelihood" not in markdown({(CELL, "lcl"): {0: old}}, [CELL], ["lcl"])


def test_regret_is_the_distance_to_the_best_of_each_draw():
    systems = dict(zip(("trainer-ce", "ce", "scl", "lcl-tenth", "logistic-regression", "lcl"), (1, 2, 3, 4, 5, 6)))
    other = "banking77, 5 each"
    runs = {(CELL, name): {0: finished(*[1] * right, *[0] * (10 - right))} for name, right in systems.items()}
    runs |= {(other, name): {0: finished(*[1] * (8 - right), *[0] * (2 + right))} for name, right in systems.items()}
    runs[CELL, "setfit"] = {0: finished(*[1] * 9, 0)}  # the best of one draw, without a row of its own
    page = "\n".join(regret_tables(runs, [CELL, other]))
    assert "2 runs of each, on 2 draws of training texts, 2 cells and 2 data sets." in page
    assert "| trainer-ce | 40.0 [" in page
    assert f"] | 80.0 ({CELL}, seed 0) | 1 of 2 | +0.0 | +0.0 | 1.00 |" in page
    assert "| lcl | 40.0 [" in page
    assert f"] | 50.0 ({other}, seed 0) | 0 of 2 | | | |" in page
    assert regret_tables({key: runs[key] for key in runs if key[0] == CELL}, [CELL]) == []


def test_p_values_of_several_tests_are_raised():
    assert holm([0.01, 0.04, 0.03, 0.6]) == pytest.approx([0.04, 0.09, 0.09, 0.6])


def test_trials_are_measured_against_what_they_change():
    trial = next(iter(TRIALS))
    page = markdown({(CELL, "lcl"): {0: finished(1, 0)}, (CELL, trial): {0: finished(1, 1)}}, [CELL], ["lcl", trial])
    assert "Measured on the validation texts." in page
    assert "## Accuracy beyond lcl" in page
    assert f"| {trial} | +50.0" in page


def test_seconds_stand_beside_those_of_the_same_machine():
    elsewhere = finished(1, 0) | {"seconds": 100.0, "machine": {"device": "another", "threads": 1}}
    here = finished(1, 0)
    seeds = {"scl": {0: elsewhere}, "trainer-ce": {1: here}, "ce": {0: here, 1: elsewhere}, "lcl": {1: here}}
    runs = {(CELL, name): row for name, row in seeds.items()}
    page = markdown(runs, [CELL], ["trainer-ce", "ce", "scl", "lcl"])
    group = ", few texts of each class"
    other, ours = (page.partition(f"## Cost on {name} in float32{group}")[2] for name in ("another", "any"))
    assert "| ce | 100 s, 0 MiB |\n| scl | 100 s, 0 MiB |\n\n" in other.partition("## ")[0]
    assert "| trainer-ce | 1 s, 0 MiB |\n| ce | 1 s, 0 MiB |\n| lcl | 1 s, 0 MiB |\n\n" in ours
    assert "- device: another, any" in page


def test_tables_show_runs_of_any_precision(flags, tmp_path):
    for seed, precision in enumerate(([], ["--bf16"])):
        (settings,) = accuracy.parse_arguments((accuracy.Settings,), [*flags, *precision])
        run = accuracy.settings_of(settings, CELL, "lcl", seed)
        accuracy.Ledger(settings.results).add(run, {**finished(1, 0), "settings": run})
    accuracy.main([*flags, "--table"])
    page = (tmp_path / "accuracy.md").read_text()
    assert "| lcl | 50.0 ± 0.0 (2) |" in page
    assert "- precision: bfloat16, float32" in page


def test_of_runs_that_were_repeated_the_later_counts_and_their_distance_is_told(flags, tmp_path):
    (settings,) = accuracy.parse_arguments((accuracy.Settings,), flags)
    for seed, *figures in ((0, 0.25, 0.75), (1, 0.5, 0.25)):
        run = accuracy.settings_of(settings, CELL, "lcl", seed)
        for figure in figures:
            metrics = {"accuracy": figure, "macro_f1": figure}
            accuracy.Ledger(settings.results).add(run, {**finished(1, 0), "settings": run, "metrics": metrics})
    accuracy.main([*flags, "--table"])
    page = (tmp_path / "accuracy.md").read_text()
    assert "| lcl | 50.0 ± 35.4 (2) |" in page
    assert "2 runs are there a second time" in page
    assert f"+12.50 points on average; without the sign, 37.50 in the median and 50.0 at most (lcl on {CELL}" in page


def test_a_run_on_a_gpu_or_in_half_precision_does_not_replace_one_like_those_of_the_default(flags, tmp_path):
    (settings,) = accuracy.parse_arguments((accuracy.Settings,), flags)
    (half,) = accuracy.parse_arguments((accuracy.Settings,), [*flags, "--bf16"])
    gpu = {"device": "NVIDIA H100", "threads": 1}
    ran = [
        (half, 0.0, {}),
        (settings, 0.25, {"machine": gpu}),
        (settings, 0.75, {}),
        (settings, 0.5, {"machine": gpu}),
    ]
    for asked, figure, other in ran:
        run = accuracy.settings_of(asked, CELL, "lcl", seed=0)
        found = {"settings": run, "metrics": {"accuracy": figure, "macro_f1": figure}, **other}
        accuracy.Ledger(settings.results).add(run, {**finished(1, 0), **found})
        accuracy.main([*flags, "--table"])
        shown = 75.0 if figure == 0.5 else 100 * figure
        assert f"| lcl | {shown:.1f} (1) |" in (tmp_path / "accuracy.md").read_text()


def test_in_a_bootstrap_seeds_of_one_draw_are_not_draws():
    systems = ("trainer-ce", "ce", "lcl", "lcl-learned", "logistic-regression", "lcl-names")
    runs = {}
    for cell, draws in ((CELL, "aaab"), ("trec6, 16 each", "aaaa"), ("trec6, 8 each", "ab")):
        for system in systems:
            made = (finished(1, 0) | {"fingerprints": {"train": draw}} for draw in draws)
            runs[cell, system] = dict(enumerate(made))
    page = "\n".join(regret_tables(runs, [CELL, "trec6, 16 each", "trec6, 8 each"]))
    assert "10 runs of each, on 5 draws of training texts, 3 cells and 2 data sets." in page


@pytest.mark.parametrize("trial", ["RisingAlpha", "Uncorrelated", "NearStart", "RelatedLabels"])
def test_a_trial_changes_what_is_trained(trial, bert, splits, tokenizer, tmp_path):
    args = ContrastiveTrainingArguments(str(tmp_path), use_cpu=True, report_to="none")
    data = {"train_dataset": splits["train"], "processing_class": tokenizer}
    trainer = TRAINERS[trial](bert, args, **data)
    trainer.current_gradient_accumulation_steps = 1
    batch = next(iter(trainer.get_train_dataloader()))
    with torch.no_grad():
        trainer.compute_loss(trainer.model.train(), dict(batch))  # the first step, at which nothing has moved
        weights = list(trainer.model.native.base_model.parameters())
        for weight in weights:
            weight.add_(0.01)
        torch.manual_seed(0)  # dropout is the same for both
        loss = trainer.compute_loss(trainer.model, dict(batch))
        labels = batch.pop("labels")
        torch.manual_seed(0)
        outputs = trainer.model(**batch)
    log_shares, related = outputs.logits.log_softmax(-1), outputs.weighting_logits.softmax(-1)
    of_labels = log_shares.gather(1, labels.unsqueeze(1)).squeeze(1)
    correlations = np.corrcoef(outputs.embeddings.double().T) - np.eye(outputs.embeddings.shape[1])
    extras = {
        "RisingAlpha": 0.0,
        "Uncorrelated": 0.04 * np.linalg.norm(correlations),
        "NearStart": 0.1 / 2 * 0.01**2 * sum(weight.numel() for weight in weights),
        "RelatedLabels": 0.1 * 0.5 * (of_labels - (related * log_shares).sum(1)).mean().item(),
    }
    alpha = 0.1 if trial == "RisingAlpha" else 0.5
    tensors = outputs.logits, outputs.embeddings, outputs.weighting_logits, labels
    expected = Objective("lcl", alpha=alpha)(*tensors)[0].item() + extras[trial]
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    assert abs(loss.item() - Objective("lcl")(*tensors)[0].item()) > 0.01


def test_where_features_know_less_the_start_is_penalised_more():
    numbers = np.random.default_rng(0)
    labels = np.arange(60) % 3
    noise = numbers.normal(size=(60, 8))
    known = noise / 10 + np.eye(8)[labels]
    options = {"num_labels": 3, "class_weights": None, "with_bias": True}
    sizes = [
        np.abs(cross_validated(features, labels, inverse_penalty=3.0, **options)[0]).max()
        for features in (noise, known)
    ]
    alone = [np.abs(_logistic_regression(noise, labels, inverse_penalty=c, **options)[0]).max() for c in (0.03, 3.0)]
    assert sizes[0] == alone[0] < alone[1] < sizes[1]


@pytest.mark.slow
def test_finished_runs_are_kept_and_shown(flags, tmp_path):
    systems = ["--systems", "trainer-ce", "ce", "lcl"]
    accuracy.main([*flags, *systems, "--seeds", "0"])
    first = lines(tmp_path)
    assert [line["settings"]["system"] for line in first] == systems[1:]
    assert all(line["peak_bytes"] > 0 and line["steps"] == 80 and line["seconds"] > 0 for line in first)
    assert all(line["cpu_seconds"] > 0 for line in first)
    assert all(line["metrics"]["accuracy"] == round(correct(line).mean(), 4) for line in first)
    accuracy.main([*flags, *systems, "--seeds", "0"])
    assert lines(tmp_path) == first
    accuracy.main([*flags, "--table"])
    page = (tmp_path / "accuracy.md").read_text()
    assert f"| lcl | {100 * first[2]['metrics']['accuracy']:.1f} (1) |" in page
    assert "- by setfit: any of the cells above" in page
    assert "## Accuracy beyond trainer-ce, few texts of each class" in page
    assert (tmp_path / "accuracy.png").stat().st_size > 10_000


@pytest.mark.slow
def test_the_way_to_an_accuracy_is_kept_and_shown(flags, tmp_path):
    systems = [
        name
        for name in ("trainer-ce", "lcl", "supcon-metric-learning", "logistic-regression")
        if all(find_spec(package.replace("-", "_")) for package in accuracy.ALL_SYSTEMS[name].packages)
    ]
    flags = [*flags, "--curves", "--seeds", "0"]
    accuracy.main([*flags, "--systems", *systems])
    assert len(lines(tmp_path)) == len(systems)
    for line in lines(tmp_path):
        seconds, accuracies = zip(*line["curve"])
        assert len(seconds) == (1 if line["steps"] == 0 else 41)  # after each epoch, and at the end
        assert seconds == tuple(sorted(seconds))
        assert seconds[-1] <= line["cpu_seconds"] + 0.1  # cpu_seconds is rounded
        assert all(0 <= each <= 1 for each in accuracies)
    accuracy.main([*flags, "--table"])
    page = (tmp_path / "accuracy.md").read_text()
    end = lines(tmp_path)[0]["curve"][-1][1]
    assert f"| | seconds to {100 * end:.1f} % | seconds to the end |" in page
    assert (tmp_path / "accuracy.png").stat().st_size > 10_000


def test_a_goal_is_reached_by_the_first_point_that_is_as_high():
    curve = [(1.0, 0.3), (2.0, 0.5), (3.0, 0.4)]
    assert [seconds_to(curve, goal) for goal in (0.3, 0.4, 0.6)] == [1.0, 2.0, float("inf")]


@pytest.mark.slow
@pytest.mark.parametrize("name", accuracy.ALL_SYSTEMS)
def test_every_system_learns(name, flags, monkeypatch):
    # The encoder has random weights, which SetFit's learning rate hardly changes: chance accuracy is 0.25.
    monkeypatch.setitem(CELLS, CELL, replace(CELLS[CELL], learning_rate=5e-3, epochs=20))
    if "training" in accuracy.ALL_SYSTEMS[name].options:
        monkeypatch.setitem(accuracy.ALL_SYSTEMS[name].options["training"], "learning_rate", 5e-3)
    monkeypatch.setattr(ingredients, "CLASSIFIER_SHARE", 0.5)
    if name == "trainer-ce-tuned":
        monkeypatch.setitem(accuracy.ALL_SYSTEMS[name].options, "learning_rates", [1e-6, 5e-3])
    for package in accuracy.ALL_SYSTEMS[name].packages:
        pytest.importorskip(package.replace("-", "_"))
    (settings,) = accuracy.parse_arguments((accuracy.Settings,), flags)
    run = accuracy.result(settings, CELL, name, seed=0)
    assert run["metrics"]["accuracy"] > 0.35
    assert run["metrics"]["nll"] < 2 * math.log(4)
    assert 0 < run["metrics"]["calibration_error"] < 1
    assert run["steps"] > 0 or name.startswith("logistic-regression")
    assert name != "lcl-tenth" or run["steps"] == 4  # of 40
    assert name != "trainer-ce-names" or run["steps"] == 60  # 36 texts instead of 32: 3 batches instead of 2
    assert run["steps"] < 40 or name not in ("ce-learned", "lcl-learned")
    assert run["steps"] < 60 or name != "lcl-names"  # 36 texts
    assert name != "trainer-ce-tuned" or run["details"]["learning_rate"] == 5e-3
    assert run["texts"] == {"train": 32, "test": 60}
