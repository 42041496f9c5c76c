"""Searches: the metric of trials, the arguments of each trial, and interrupted studies."""

import copy
import multiprocessing
import sys
import time
from operator import itemgetter

import pytest
import torch
from paper_space import paper_grid, paper_space
from search_report import heat_map_values
from shared_study import SharedStudy
from sklearn.metrics import f1_score
from transformers import EvalPrediction, set_seed

from hf_lcl import (
    ContrastiveTrainer,
    ContrastiveTrainingArguments,
    LCLForSequenceClassification,
    classification_metrics,
)
from hf_lcl.training.search import validation_metric, wide_space


optuna = pytest.importorskip("optuna")


@pytest.fixture
def make_searcher(splits, tokenizer, tmp_path, bert):
    """A `ContrastiveTrainer` with a `model_init`; keyword arguments are training arguments."""

    def make(compute_metrics=classification_metrics, model_init=None, **settings):
        settings = {
            "output_dir": str(tmp_path / "out"),
            "max_steps": 4,
            "per_device_train_batch_size": 16,
            "learning_rate": 1e-3,
            "save_strategy": "no",
            "disable_tqdm": True,
            "use_cpu": True,
            "dataloader_pin_memory": False,
        } | settings
        return ContrastiveTrainer(
            model_init=model_init or (lambda: LCLForSequenceClassification.from_native(copy.deepcopy(bert))),
            args=ContrastiveTrainingArguments(**settings),
            train_dataset=splits["train"],
            eval_dataset=splits["validation"],
            processing_class=tokenizer,
            compute_metrics=compute_metrics,
        )

    return make


def accuracy_alone(prediction: EvalPrediction) -> dict[str, float]:
    return {"accuracy": float((prediction.predictions.argmax(-1) == prediction.label_ids).mean())}


@pytest.mark.parametrize(
    ("compute_metrics", "settings", "expected"),
    [
        (classification_metrics, {}, ("eval_macro_f1", "maximize")),
        (accuracy_alone, {}, ("eval_accuracy", "maximize")),
        (None, {}, ("eval_loss_ce", "minimize")),
        (lambda prediction: {"other": 1.0}, {}, ("eval_loss_ce", "minimize")),
        (classification_metrics, {"metric_for_best_model": "weighted_f1"}, ("eval_weighted_f1", "maximize")),
        (classification_metrics, {"metric_for_best_model": "eval_loss_ce"}, ("eval_loss_ce", "minimize")),
        (classification_metrics, {"metric_for_best_model": "loss"}, ("eval_macro_f1", "maximize")),
        (None, {"metric_for_best_model": "errors", "greater_is_better": False}, ("eval_errors", "minimize")),
    ],
)
def test_what_trials_are_compared_by(tmp_path, compute_metrics, settings, expected):
    args = ContrastiveTrainingArguments(str(tmp_path), use_cpu=True, **settings)
    assert validation_metric(args, compute_metrics, num_labels=4) == expected


def test_a_loss_that_is_chosen_later_falls_too(tmp_path):
    args = ContrastiveTrainingArguments(str(tmp_path), use_cpu=True)
    args.metric_for_best_model = "eval_loss_ce"
    assert validation_metric(args, classification_metrics, num_labels=4) == ("eval_loss_ce", "minimize")


def several_accuracies(prediction: EvalPrediction) -> dict[str, float]:
    """As a user may write it."""
    return {"macro_f1": f1_score(prediction.label_ids, prediction.predictions > 0, average="macro")}


def test_a_metric_of_several_labels_sees_rows_of_them(tmp_path):
    args = ContrastiveTrainingArguments(str(tmp_path), use_cpu=True)
    expected = ("eval_macro_f1", "maximize")
    assert validation_metric(args, several_accuracies, num_labels=4, has_several_labels=True) == expected


SETS = ("short", "short_texts", "long")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"metric_for_best_model": "long_accuracy"}, ("eval_long_accuracy", "maximize")),
        ({"metric_for_best_model": "eval_short_texts_loss_ce"}, ("eval_short_texts_loss_ce", "minimize")),
    ],
)
def test_of_several_evaluation_sets_the_metric_names_one(tmp_path, settings, expected):
    args = ContrastiveTrainingArguments(str(tmp_path), use_cpu=True, **settings)
    assert validation_metric(args, classification_metrics, 4, evaluation_sets=SETS) == expected


@pytest.mark.parametrize("metric", [None, "accuracy", "loss"])
def test_a_search_over_several_evaluation_sets_asks_for_the_metric(make_searcher, splits, metric):
    trainer = make_searcher(metric_for_best_model=metric)
    trainer.eval_dataset = {"short": splits["validation"], "long": splits["test"]}
    with pytest.raises(ValueError, match=r"several sets \(short, long\).*metric_for_best_model='short_macro_f1'"):
        trainer.hyperparameter_search(n_trials=1)


@pytest.mark.slow
def test_a_search_needs_no_arguments(make_searcher):
    trainer = make_searcher(max_steps=1)
    best = trainer.hyperparameter_search(n_trials=2, sampler=optuna.samplers.RandomSampler(seed=0))
    assert set(best.hyperparameters) == {
        "alpha",
        "learning_rate",
        "per_device_train_batch_size",
        "temperature",
        "weight_decay",
    }
    assert 0 <= best.objective <= 1
    again = trainer.hyperparameter_search(n_trials=1)  # the Trainer has dropped its model by now
    assert 0 <= again.objective <= 1


SETTINGS = [
    {"objective": "lcl", "per_device_train_batch_size": 8, "alpha": 0.2, "temperature": 0.07},
    {"objective": "lcl", "per_device_train_batch_size": 8, "num_views": 2},
    {"objective": "lcl", "per_device_train_batch_size": 16, "sampler": "random", "seed": 7, "max_steps": 9},
    {"objective": "ce", "per_device_train_batch_size": 4, "learning_rate": 3e-3},
    # Comes last, since the Trainer cannot set a number back to None.
    {"objective": "scl", "per_device_train_batch_size": 32, "mini_batch_size": 8, "normalize_embeddings": False},
]


@pytest.mark.slow
def test_a_trial_ends_as_a_run_of_its_own_with_its_arguments(make_searcher, make_trainer, bert):
    usual = ContrastiveTrainingArguments("x", use_cpu=True)
    everything = {name: getattr(usual, name) for settings in SETTINGS for name in settings}
    everything |= {"learning_rate": 1e-3, "max_steps": 4}
    del everything["mini_batch_size"]
    trainer = make_searcher(compute_metrics=None, temperature=1)  # an int, to which the Trainer would cast floats
    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(storage=storage, study_name="s")
    for row in range(len(SETTINGS)):
        study.enqueue_trial({"row": row})
    losses = []

    def remember(metrics):
        losses.append(metrics["eval_loss"])
        return metrics["eval_loss_ce"]

    trainer.hyperparameter_search(
        lambda trial: everything | SETTINGS[trial.suggest_int("row", 0, len(SETTINGS) - 1)],
        remember,
        n_trials=len(SETTINGS),
        storage=storage,
        study_name="s",
        load_if_exists=True,
    )
    for settings, loss, trial in zip(SETTINGS, losses, study.trials):
        set_seed(settings.get("seed", usual.seed))
        model = LCLForSequenceClassification.from_native(copy.deepcopy(bert))
        alone = make_trainer(model=model, **everything | settings)
        alone.train()
        metrics = alone.evaluate()
        assert (loss, trial.value) == (metrics["eval_loss"], metrics["eval_loss_ce"]), settings


@pytest.mark.slow
def test_a_trial_may_choose_an_objective_that_its_model_fits_alone(make_searcher, bert):
    args = {}

    def model_init():
        weighting = "head" if args["now"].objective == "lcl" else "none"
        return LCLForSequenceClassification.from_native(copy.deepcopy(bert), weighting=weighting)

    args["now"] = ContrastiveTrainingArguments("x", objective="scl", use_cpu=True)
    trainer = make_searcher(model_init=model_init, objective="scl", max_steps=1)
    args["now"] = trainer.args
    sampler = optuna.samplers.GridSampler({"objective": ["scl", "lcl", "ce"]}, seed=3)
    trainer.hyperparameter_search(
        lambda trial: {"objective": trial.suggest_categorical("objective", ["scl", "lcl", "ce"])},
        n_trials=3,
        sampler=sampler,
    )


@pytest.mark.slow
def test_a_trial_that_diverges_is_pruned_and_leaves_nothing_behind(make_searcher):
    trainer = make_searcher(logging_steps=2)
    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(storage=storage, study_name="s", direction="maximize")
    for rate in (1e-4, 1e30, 1e-3):
        study.enqueue_trial({"learning_rate": rate})
    trainer.hyperparameter_search(
        lambda trial: {"learning_rate": trial.suggest_float("learning_rate", 1e-6, 1e31, log=True)},
        n_trials=3,
        storage=storage,
        study_name="s",
        load_if_exists=True,
    )
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "PRUNED", "COMPLETE"]
    first = trainer.state.log_history[0]
    parts = 0.5 * sum(first[name] for name in ("loss_ce", "loss_weighting", "loss_contrastive"))
    assert first["loss"] == pytest.approx(parts, abs=2e-4)


@pytest.mark.slow
def test_trials_are_pruned_by_the_metric_at_the_same_share_of_training(make_searcher, splits):
    settings = {"eval_strategy": "epoch", "metric_for_best_model": "loss_ce"}
    trainer = make_searcher(max_steps=-1, num_train_epochs=2, **settings)
    trainer.train_dataset = splits["validation"]  # smaller
    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(storage=storage, study_name="s", direction="minimize")
    for rate, size in ((3e-3, 4), (1e-12, 8)):  # the second learns nothing
        study.enqueue_trial({"learning_rate": rate, "per_device_train_batch_size": size})
    trainer.hyperparameter_search(
        lambda trial: {
            "learning_rate": trial.suggest_float("learning_rate", 1e-12, 1e-2, log=True),
            "per_device_train_batch_size": trial.suggest_categorical("per_device_train_batch_size", [4, 8]),
        },
        n_trials=2,
        storage=storage,
        study_name="s",
        load_if_exists=True,
        pruner=optuna.pruners.MedianPruner(n_startup_trials=1, n_warmup_steps=0),
    )
    good, bad = study.trials
    assert (good.state.name, bad.state.name) == ("COMPLETE", "PRUNED")
    assert list(good.intermediate_values) == [100, 200]
    assert list(bad.intermediate_values) == [100]


@pytest.mark.parametrize(
    ("settings", "arguments", "message"),
    [
        ({}, {"direction": "minimize"}, "direction='minimize'.*eval_macro_f1.*maximize"),
        ({}, {"hp_space": lambda trial: {"alpha": 1.5}}, r"alpha=1.5 must be a number in \[0, 1\]"),
    ],
)
def test_searches_that_would_mislead_are_refused(make_searcher, settings, arguments, message):
    with pytest.raises(ValueError, match=message):
        make_searcher(**settings).hyperparameter_search(**arguments)


@pytest.mark.slow
@pytest.mark.parametrize("end", [{}, {"head_refit": True, "stop_when_learned": False}], ids=["learned", "refit"])
def test_a_trial_is_judged_by_the_classifier_that_it_ends_with(make_searcher, encoder_folder, end):
    trainer = make_searcher(
        model_init=lambda: LCLForSequenceClassification.from_encoder(encoder_folder, num_labels=4),
        compute_metrics=None,
        max_steps=-1,
        num_train_epochs=30,
        learning_rate=4e-3,
        warmup_steps=0,
        eval_strategy="epoch",
        **end,
    )
    losses = []

    def remember(metrics):
        losses.append(metrics["eval_loss_ce"])
        return losses[-1]

    best = trainer.hyperparameter_search(lambda trial: {}, remember, n_trials=1)
    assert len(losses) == round(trainer.state.epoch) + 1  # once more than there were epochs
    assert best.objective == losses[-1] != losses[-2]


def test_a_search_needs_validation_texts_and_optuna(make_searcher, monkeypatch):
    trainer = make_searcher()
    trainer.eval_dataset = None
    with pytest.raises(ValueError, match="eval_dataset"):
        trainer.hyperparameter_search()
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ImportError, match=r"hf_lcl\[search\]"):
        trainer.hyperparameter_search()


def test_the_spaces(tmp_path):
    assert len({tuple(point.items()) for point in paper_grid()}) == 45
    args = ContrastiveTrainingArguments(str(tmp_path), use_cpu=True)
    for point in paper_grid():
        assert paper_space(optuna.trial.FixedTrial(point), args) == point | {"normalize_embeddings": False}
    for settings, names, top in (
        ({}, {"alpha", "temperature"}, 1),
        ({"normalize_embeddings": False}, {"alpha", "temperature"}, 1000),
        ({"objective": "ce"}, set(), None),
        ({"mini_batch_size": 32, "per_device_train_batch_size": 64}, {"alpha", "temperature"}, 1),
        ({"samples_per_class": 9, "sampler": "balanced"}, {"alpha", "temperature"}, 1),
        ({"mini_batch_size": 100, "per_device_train_batch_size": 100}, {"alpha", "temperature"}, 1),
    ):
        args = ContrastiveTrainingArguments(str(tmp_path), use_cpu=True, **settings)
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        chosen = wide_space(study.ask(), args)
        assert chosen["per_device_train_batch_size"] >= max(args.mini_batch_size or 8, 2 * args.samples_per_class)
        assert set(chosen) == names | {"learning_rate", "per_device_train_batch_size", "weight_decay"}
        if "temperature" in names:
            assert top / 1000 < chosen["temperature"] <= top
        ContrastiveTrainingArguments(str(tmp_path), use_cpu=True, **settings | chosen)


def shared(path, trials=None, settings=None, **others) -> SharedStudy:
    trials = [{"x": value} for value in range(3)] if trials is None else trials
    return SharedStudy(path, "s", "maximize", trials, {"seed": 0} if settings is None else settings, **others)


def states(study: SharedStudy) -> list[tuple[str, dict]]:
    return [(trial.state.name, trial.system_attrs["fixed_params"]) for trial in study.study.trials]


def test_a_study_that_is_opened_again_plans_nothing_twice(tmp_path):
    first = shared(tmp_path / "a.db")
    first.study.tell(first.study.ask(), 1.0)
    again = shared(tmp_path / "a.db", [{"x": value} for value in range(4)])
    assert states(again) == [("COMPLETE", {"x": 0}), *(("WAITING", {"x": value}) for value in (1, 2, 3))]
    sampled = shared(tmp_path / "b.db", [{}] * 2)
    sampled.study.tell(sampled.study.ask(), 1.0)
    assert [state for state, _ in states(shared(tmp_path / "b.db", [{}] * 3))] == ["COMPLETE", "WAITING", "WAITING"]


def test_a_trial_that_failed_waits_again_with_its_values(tmp_path):
    study = shared(tmp_path / "a.db", [{}])
    trial = study.study.ask()
    value = trial.suggest_float("x", 0, 1)
    study.study.tell(trial, state=optuna.trial.TrialState.FAIL)
    for _ in range(2):
        again = shared(tmp_path / "a.db", [{}])
    assert [state for state, _ in states(again)] == ["FAIL", "WAITING"]
    assert again.study.ask().suggest_float("x", 0, 1) == value


@pytest.mark.parametrize("has_values", [False, True])
def test_a_trial_that_died_before_its_first_sign_of_life_waits_again(tmp_path, has_values):
    study = shared(tmp_path / "a.db", [{"x": 1}])
    trial = study.study.ask()
    if has_values:
        trial.suggest_float("x", 0, 1)
    assert [state for state, _ in states(shared(tmp_path / "a.db", [{"x": 1}]))] == ["RUNNING"]
    time.sleep(1.1)
    again = shared(tmp_path / "a.db", [{"x": 1}], grace_seconds=1)
    assert states(again) == [("FAIL", {"x": 1}), ("WAITING", {"x": 1})]


def test_another_search_in_the_same_file_is_refused(tmp_path):
    shared(tmp_path / "a.db", settings={"learning_rate": 1e-3, "seed": 0})
    with pytest.raises(ValueError, match=r"learning_rate was 0.001, is None.*study_db"):
        shared(tmp_path / "a.db")
    (tmp_path / "text.db").write_text("no SQLite at all")
    with pytest.raises(ValueError, match="no SQLite file"):
        shared(tmp_path / "text.db")


def work(path, taken) -> None:
    study = shared(path, [{"x": value} for value in range(20)])
    while any(trial.state.name == "WAITING" for trial in study.trials()):
        trial = study.study.ask()
        if "place" in trial.user_attrs:
            taken.put(trial.suggest_int("x", 0, 19))
            study.study.tell(trial, 1.0)


@pytest.mark.slow
def test_processes_that_begin_at_once_plan_and_take_each_trial_once(tmp_path):
    context = multiprocessing.get_context("fork")
    taken = context.Queue()
    workers = [context.Process(target=work, args=(tmp_path / "a.db", taken)) for _ in range(3)]
    for worker in workers:
        worker.start()
    values = sorted(taken.get(timeout=60) for _ in range(20))
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    assert values == list(range(20))
    assert taken.empty()


def test_the_heat_map_holds_each_value_in_its_place(tmp_path):
    study = optuna.create_study(direction="maximize")
    args = ContrastiveTrainingArguments(str(tmp_path), use_cpu=True)
    for number, point in enumerate(paper_grid()[:-1]):
        study.enqueue_trial(point)
        trial = study.ask()
        paper_space(trial, args)
        if number == 3:
            trial.report(0.5, 100)
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            study.tell(trial, float(number))
    values, pruned = heat_map_values(study.trials)
    for number, point in enumerate(paper_grid()):
        cell = (
            [4, 8, 32].index(point["per_device_train_batch_size"]),
            [0.1, 0.2, 0.7].index(point["alpha"]),
            [0.07, 7, 10, 100, 1000].index(point["temperature"]),
        )
        assert pruned[cell] == (number == 3)
        expected = {3: 0.5, 44: float("nan")}.get(number, float(number))
        torch.testing.assert_close(float(values[cell]), expected, equal_nan=True)


@pytest.mark.slow
def test_all_trials_may_be_pruned(make_searcher, tmp_path):
    study = shared(tmp_path / "a.db", [{"learning_rate": 1e30}, {"learning_rate": 1e-3}])
    ended = study.run(
        make_searcher(),
        lambda trial: {"learning_rate": trial.suggest_float("learning_rate", 1e-6, 1e31, log=True)},
        itemgetter("eval_macro_f1"),
    )
    assert ended
    assert [state for state, _ in states(study)] == ["PRUNED", "COMPLETE"]


@pytest.mark.slow
def test_the_seed_decides_what_is_drawn_and_no_trial_draws_the_same(make_searcher, tmp_path):
    trainer = make_searcher(max_steps=1)
    drawn = []
    for number, seed in enumerate((0, 0, 5)):
        study = shared(tmp_path / f"{number}.db", [{}] * 2, seed=seed)
        study.run(trainer, lambda trial: {"weight_decay": trial.suggest_float("x", 0, 1)}, itemgetter("eval_macro_f1"))
        drawn.append([trial.params["x"] for trial in study.trials()])
    assert drawn[0] == drawn[1]
    assert len({*drawn[0], *drawn[2]}) == 4


def test_an_error_of_a_trial_ends_the_search_and_the_trial_waits_again(make_searcher, tmp_path):
    study = shared(tmp_path / "a.db", [{"x": 1}])

    def broken(metrics):
        raise ValueError("no such metric")

    with pytest.raises(ValueError, match="no such metric"):
        study.run(make_searcher(max_steps=1), lambda trial: {"weight_decay": trial.suggest_float("x", 0, 1)}, broken)
    assert [state for state, _ in states(shared(tmp_path / "a.db", [{"x": 1}]))] == ["FAIL", "WAITING"]
