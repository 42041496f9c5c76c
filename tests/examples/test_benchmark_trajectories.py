"""The evaluation of stopping points, means of weights and heads, on made-up texts and a tiny encoder."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import trajectories
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from study.cells import CELLS, draw_cell
from study.choice import CLOCKS, Choice, choices, fired, markdown, scores_of
from study.trajectory import PENALTIES, Reader, Refit, Trajectory, epoch_losses, judge, last_layer, scores
from transformers import TrainerCallback


CELL = "emoint, 8 each"


class EachStep(TrainerCallback):
    """Keeps all weights after each step."""

    def __init__(self, classifier):
        self.classifier, self.weights = classifier, []

    def on_step_end(self, args, state, control, **kwargs):
        self.weights.append(weights_of(self.classifier))


def weights_of(classifier) -> torch.Tensor:
    return torch.cat([parameter.detach().double().flatten() for parameter in classifier.parameters()])


def test_a_trajectory_sees_iterates_and_means_and_leaves_the_training_as_it_is(make_trainer, splits, tokenizer):
    settings = {"num_train_epochs": 3, "learning_rate": 1e-2, "logging_strategy": "epoch"}
    alone = make_trainer(folder="alone", **settings)
    alone.train()
    torch.manual_seed(0)
    trainer = make_trainer(folder="looked-at", model=type(alone.model.native)(alone.model.native.config), **settings)
    classifier = trainer.model.native
    train = Reader(tokenizer, splits["train"], batch_size=7)
    seen = []

    def look():
        seen.append(weights_of(classifier))
        return {"features": train(classifier)}

    trajectory, steps = Trajectory(classifier, look, [1, 3], [1, 3]), EachStep(classifier)
    trainer.add_callback(steps)
    trainer.add_callback(trajectory)
    trainer.train()
    assert torch.equal(weights_of(classifier), weights_of(alone.model.native))
    places = [(point["epoch"], point["weights"]) for point in trajectory.points]
    assert places == [(1, "iterate"), (1, "mean"), (3, "iterate"), (3, "mean")]
    each = torch.stack(steps.weights)
    of_epoch, share = len(each) // 3, torch.arange(1, len(each) + 1, dtype=torch.float64).unsqueeze(1)
    first, last = share[:of_epoch], share
    expected = [
        each[of_epoch - 1],
        (first * each[:of_epoch]).sum(0) / first.sum(),
        each[-1],
        (last * each).sum(0) / last.sum(),
    ]
    for found, wanted in zip(seen, expected):
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
    assert (expected[2] - expected[3]).abs().max() > 1e-3
    losses = epoch_losses(trainer.state.log_history, 4)
    assert [len(values) for values in losses.values()] == [3, 3]
    assert losses["loss_ce"][-1] == pytest.approx(trainer.state.log_history[-2]["loss_ce"] / np.log(4), abs=1e-4)


def test_a_reader_gives_what_the_last_layer_is_given(bert, splits, tokenizer):
    rows = splits["test"]
    read = Reader(tokenizer, rows, batch_size=5)
    inputs = tokenizer.pad([{"input_ids": ids} for ids in rows["input_ids"]], return_tensors="pt")
    bert.train()
    state = torch.get_rng_state()
    features = read(bert)
    assert torch.equal(state, torch.get_rng_state())
    assert bert.training
    layer = last_layer(bert)
    logits = features @ layer.weight.detach().double().numpy().T + layer.bias.detach().numpy()
    np.testing.assert_allclose(logits, bert.eval()(**inputs).logits.detach().numpy(), atol=1e-5)
    assert read.labels.tolist() == rows["labels"][:]


def test_scores_are_those_of_torch():
    logits, labels = torch.randn(50, 4, generator=torch.Generator().manual_seed(0)), torch.arange(50) % 4
    accuracy, likelihood = scores(logits.double().numpy(), labels.numpy())
    assert accuracy == (logits.argmax(1) == labels).double().mean().item()
    assert likelihood == pytest.approx(torch.nn.functional.cross_entropy(logits, labels).item(), abs=1e-4)


def test_a_refit_is_scikit_learns():
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 4
    features = 5 + rng.normal(size=(4, 16))[labels] + 2 * rng.normal(size=(60, 16))
    refit = Refit(features, labels)
    centred = features - features.mean(axis=0)
    scaled = centred / np.sqrt(np.square(centred).sum(axis=1).mean())
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    search = GridSearchCV(LogisticRegression(max_iter=1000), {"C": PENALTIES}, cv=folds, scoring="neg_log_loss")
    search.fit(scaled, labels)
    assert refit.chosen() == search.best_params_["C"]
    assert PENALTIES[0] < refit.chosen() < PENALTIES[-1]
    np.testing.assert_allclose(
        refit.logits(features, refit.chosen()), search.best_estimator_.decision_function(scaled), atol=1e-6
    )


def test_half_and_half_is_the_mean_of_two_layers(bert, splits, tokenizer):
    train, held_out = Reader(tokenizer, splits["train"]), Reader(tokenizer, splits["test"])
    judged = judge(bert, train, held_out)
    features, labels = train(bert), train.labels
    mean, scale = features.mean(axis=0), np.sqrt(np.square(features - features.mean(axis=0)).sum(axis=1).mean())
    fitted = LogisticRegression(C=3.0, max_iter=1000).fit((features - mean) / scale, labels)
    weight, bias = fitted.coef_ / scale, fitted.intercept_ - fitted.coef_ @ mean / scale
    layer = last_layer(bert)
    with torch.no_grad():
        layer.weight.copy_((layer.weight + torch.from_numpy(weight)) / 2)
        layer.bias.copy_((layer.bias + torch.from_numpy(bias)) / 2)
    accuracy, likelihood = judge(bert, train, held_out)["trained"]
    assert judged["half"]["3.0"] == [accuracy, pytest.approx(likelihood, abs=2e-4)]
    assert judged["half"]["3.0"] != judged["refit"]["3.0"] != judged["trained"]


def test_nobody_is_judged_by_texts_that_were_learned(data_dir):
    drawn = [draw_cell(CELLS[CELL], str(data_dir), seed, held_out=16) for seed in (0, 0, 1)]
    for splits in drawn:
        assert np.bincount(splits["train"]["label"][:]).tolist() == [8] * 4
        assert np.bincount(splits["test"]["label"][:]).tolist() == [4] * 4
        assert not set(splits["train"]["text"]) & set(splits["test"]["text"])
    assert drawn[0]["test"].to_list() == drawn[1]["test"].to_list() != drawn[2]["test"].to_list()


def run_of(system: str, seed: int, end: float, **others) -> dict:
    """A training of twelve epochs, whose mean after four of them is the best."""
    refit = {str(penalty): [end, 1.0] for penalty in PENALTIES}
    points = [
        {"trained": [end, 2.0], "refit": refit | {"3.0": [end + 0.01, 1.5]}, "half": refit, **at}
        for epoch in (4, 12)
        for at in ({"epoch": epoch, "weights": "iterate"}, {"epoch": epoch, "weights": "mean"})
    ]
    points[1] |= {"trained": [end + 0.05, 0.5]}
    settings = {"cell": CELL, "system": system, "seed": seed, "budget": {"epochs": 12}}
    losses = {"loss_ce": [0.5, 0.1, 0.04, *[0.01] * 9], "loss_weighting": [1.0, 0.9, 0.84, *[0.7] * 9]}
    machine = {"device": "any", "threads": 1}
    run = {"settings": settings, "points": points, "losses": losses, "end": [end, 2.0], "texts": {"test": 60}}
    return {**run, "machine": machine, "versions": {}, **others}


def test_a_clock_strikes_where_both_losses_are_low():
    losses = run_of("lcl", 0, 0.5)["losses"]
    assert fired(losses, (0.05, 0.85)) == 3
    assert fired(losses, (0.05, 0.75)) == 4
    assert fired(losses, (0.005, 0.85)) is None
    assert fired({"loss_ce": losses["loss_ce"]}, (0.1, 0.0)) == 2  # no weighting network


def test_choices_are_told_by_what_they_are_behind_the_best():
    runs = [run_of("lcl", 0, 0.50), run_of("ce", 0, 0.52), run_of("lcl", 1, 0.60), run_of("ce", 1, 0.58)]
    clocked = Choice("lcl", "0.05, 0.85", "mean", "trained")
    # 1.5 times three epochs is 4.5: of the evaluated epochs, the fourth is the closest.
    assert scores_of(runs[0], clocked) == (pytest.approx(0.55), 0.5, 4 / 12)
    assert scores_of(runs[0], replace(clocked, when=1.0, head="refit, penalty 3"))[:2] == (pytest.approx(0.51), 1.5)
    page = markdown(runs, [CELL])
    # Its regrets to 52 and 60 are -3 and -5, those of its refits 2 and 0, and with a penalty of 3 1 and -1.
    assert f"| {clocked.end} | -4.0 (-4.0) 0.50 | +0.0 (+0.0) 1.50 | +1.0 (+1.0) 1.00 |" in page
    assert f"| {clocked.end}, trained | -4.0 (2) | -4.00 ± 1.0 |" in page
    assert "| lcl, 100% of the epochs, iterate, trained | +1.0 (2) | +1.00 ± 1.0 |" in page
    by_head = page.partition("## Choices\n")[2].partition("## ")[0]
    assert by_head.count("|\n") == 2 + len({choice.end for choice in choices()})
    assert f"| lcl, {next(iter(CLOCKS))} | 25%, 25% |" in page
    assert "| lcl | 55.0 ± 7.1 (2) |" in page


def test_without_runs_there_is_no_table():
    assert "No run has finished." in markdown([], [CELL])


@pytest.mark.parametrize(("flag", "value"), [("cells", "emoint"), ("systems", "bert")])
def test_unknown_names_are_refused(flag, value, tmp_path):
    with pytest.raises(ValueError, match=f"--{flag} '{value}' is unknown: use some of "):
        trajectories.main(["--encoder=any", f"--results={tmp_path / 'runs.jsonl'}", f"--{flag}", value])


@pytest.mark.slow
def test_finished_runs_are_kept_and_shown(data_dir, encoder_folder, tmp_path, monkeypatch):
    monkeypatch.setitem(CELLS, CELL, replace(CELLS[CELL], epochs=4))
    path = tmp_path / "trajectories.jsonl"
    flags = [f"--encoder={encoder_folder}", f"--data_dir={data_dir}", f"--results={path}", "--cells", CELL]
    flags += ["--seeds", "10", "--systems", "lcl", "ce", "trainer 2e-4", "frozen"]
    trajectories.main(flags)
    runs = [json.loads(line) for line in path.read_text().splitlines()]
    assert [run["settings"]["system"] for run in runs] == ["lcl", "ce", "frozen", "trainer 2e-4"]
    lcl, ce, frozen, trainer = runs
    assert [point["epoch"] for point in lcl["points"] if point["weights"] == "mean"] == [1, 2, 3, 4]
    assert lcl["steps"] == ce["steps"] == 8
    assert trainer["steps"] == 12  # the class names count as training texts
    assert [len(run["losses"]["loss_ce"]) for run in (lcl, ce)] == [4, 4]
    assert list(ce["losses"]) == ["loss_ce"]
    assert list(frozen["details"]) == ["without names", "with names"]
    assert all(0 < run["end"][0] <= 1 and run["end"][1] > 0 for run in runs)
    trajectories.main(flags)
    assert len(path.read_text().splitlines()) == 4
    trajectories.main([*flags, "--table"])
    assert "| lcl, 100% of the epochs, iterate |" in path.with_suffix(".md").read_text()
