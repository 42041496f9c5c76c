"""The start, before the first step: the mean is distilled into the first token, and a new classifier is fitted."""

import copy
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset, concatenate_datasets
from sklearn.linear_model import LogisticRegression
from tiny_architectures import tiny_config, tiny_wrapper
from torch.nn.functional import cosine_similarity
from transformers import AutoModel, AutoModelForSequenceClassification, TrainerCallback

from hf_lcl import ContrastiveTrainer, ContrastiveTrainingArguments, LCLForSequenceClassification
from hf_lcl.data.views import IS_NAME
from hf_lcl.model.pooling import pool
from hf_lcl.start import distill_mean, fit_head, mean_distillation
from hf_lcl.start.head import INVERSE_PENALTY
from hf_lcl.start.mean_distillation import MAX_PASSES
from hf_lcl.training.names import names_as_texts
from hf_lcl.training.start import Start, distills_mean, texts_and_names


# Names with words that only the texts of their classes hold.
SAYING = ("furious shouting rage", "sigh queue late", "party cake laughing", "medal won applause")


class AtFirstStep(TrainerCallback):
    """Keeps the weights at the beginning of the first step."""

    def on_step_begin(self, args, state, control, model, **kwargs):
        if state.global_step == 0:
            self.weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}


@pytest.fixture(autouse=True)
def one_pass(monkeypatch):
    """Limits distillation to one pass over the texts, by default."""
    monkeypatch.setattr(mean_distillation, "MAX_PASSES", 1)


@pytest.fixture
def ten_passes(one_pass, monkeypatch):
    """Restores the default number of passes."""
    monkeypatch.setattr(mean_distillation, "MAX_PASSES", MAX_PASSES)


@pytest.fixture
def as_sentence_transformer(encoder_folder):
    """Makes the encoder's folder look like one of sentence-transformers."""

    def make(pooling: dict):
        (encoder_folder / "1_Pooling").mkdir(exist_ok=True)
        (encoder_folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
        return encoder_folder

    return make


@pytest.fixture
def weights_at_first_step(make_trainer):
    """The weights before training, and at the beginning of its first step."""

    def run(model, **settings):
        seen = AtFirstStep()
        trainer = make_trainer(model=model, callbacks=[seen], max_steps=1, names_as_texts=False, **settings)
        before = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
        trainer.train()
        return before, seen.weights, trainer

    return run


def changed(before, after):
    """The parts of the model that differ."""
    names = [name for name in before if not torch.equal(before[name], after[name])]
    return {name.removeprefix("native.").removeprefix("bert.").split(".")[0] for name in names}


def new_classifier(folder, weighting="head"):
    return LCLForSequenceClassification.from_encoder(folder, num_labels=4, weighting=weighting)


@pytest.mark.parametrize("objective", ["scl", "lcl"])
def test_a_new_classifier_is_fitted_before_the_first_step(weights_at_first_step, encoder_folder, splits, objective):
    before, after, trainer = weights_at_first_step(new_classifier(encoder_folder), objective=objective)
    assert changed(before, after) == {"classifier", "pooler"}
    model = trainer.model.eval()
    model.load_state_dict(after)
    batch = trainer.data_collator([{k: row[k] for k in ("input_ids", "labels")} for row in splits["train"]])
    labels = batch.pop("labels")
    with torch.no_grad():
        outputs = model(**batch)
    features = outputs.embeddings.double()
    features = (model.native.bert.pooler.dense.weight[0, 0].item() * features).tanh().numpy()
    scale = np.sqrt(np.square(features - features.mean(axis=0)).sum(axis=1).mean())
    regression = LogisticRegression(C=INVERSE_PENALTY, max_iter=1000).fit(features / scale, labels)
    expected = torch.from_numpy(regression.predict_proba(features / scale)).float()
    torch.testing.assert_close(outputs.logits.softmax(dim=1), expected, rtol=0, atol=0.02)


@pytest.mark.parametrize(
    "settings",
    [
        {"objective": "ce"},
        {"objective": "lcl", "alpha": 1.0},
        {"objective": "lcl", "head_start": False},
    ],
)
def test_nothing_is_fitted_where_training_is_plain_or_it_was_declined(weights_at_first_step, encoder_folder, settings):
    before, after, _ = weights_at_first_step(new_classifier(encoder_folder), **settings)
    assert changed(before, after) == set()


def test_a_classifier_that_was_trained_is_kept(weights_at_first_step, bert, tokenizer, tmp_path):
    bert.save_pretrained(tmp_path / "classifier")
    tokenizer.save_pretrained(tmp_path / "classifier")
    for model in (
        new_classifier(tmp_path / "classifier"),
        AutoModelForSequenceClassification.from_config(bert.config),
    ):
        before, after, _ = weights_at_first_step(model, objective="lcl")
        assert changed(before, after) == set()
    before, after, _ = weights_at_first_step(bert, objective="ce", head_start=True)
    assert changed(before, after) == {"classifier", "pooler"}


@pytest.mark.parametrize(
    ("pooling", "is_distilled"),
    [
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, True),
        ({"pooling_mode": "mean", "embedding_dimension": 32}, True),
        ({"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}, False),
        ({"pooling_mode": "cls", "embedding_dimension": 32}, False),
    ],
)
def test_an_encoder_that_was_trained_by_its_mean_is_distilled(
    as_sentence_transformer, splits, tmp_path, pooling, is_distilled
):
    model = new_classifier(as_sentence_transformer(pooling), "none")
    for settings in ({"objective": "scl"}, {"objective": "ce"}, {"objective": "scl", "distill_mean": False}):
        args = ContrastiveTrainingArguments(str(tmp_path), **settings)
        expected = is_distilled and settings == {"objective": "scl"}
        assert distills_mean(args, model, splits["train"]) == expected


@pytest.mark.parametrize(("objective", "parts"), [("scl", {"embeddings", "encoder"}), ("ce", set())])
def test_the_mean_of_a_sentence_transformer_goes_into_its_first_token(
    weights_at_first_step, as_sentence_transformer, objective, parts
):
    model = new_classifier(as_sentence_transformer({"pooling_mode": "mean"}), "none")
    before, after, _ = weights_at_first_step(model, objective=objective, head_start=False)
    assert changed(before, after) == parts


@pytest.mark.parametrize(("organisation", "is_told"), [("sentence-transformers", True), ("somebody", False)])
@pytest.mark.parametrize("has_file", [True, False])
def test_a_cache_without_the_file_of_the_pooling_is_told_of_once(
    weights_at_first_step, as_sentence_transformer, tmp_path, caplog, organisation, is_told, has_file
):
    folder, cached = as_sentence_transformer({"pooling_mode": "mean"}), tmp_path / f"models--{organisation}--tiny"
    kept = None if has_file else shutil.ignore_patterns("1_Pooling")
    shutil.copytree(folder, cached / "snapshots" / ("0" * 40), ignore=kept)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("0" * 40)
    where = {"cache_dir": tmp_path, "local_files_only": True}
    model = LCLForSequenceClassification.from_encoder(f"{organisation}/tiny", num_labels=4, **where)
    before, after, _ = weights_at_first_step(model, objective="lcl")
    assert ("encoder" in changed(before, after)) == has_file
    command = f"hf download {organisation}/tiny 1_Pooling/config.json"
    assert caplog.text.count(command) == (is_told and not has_file)


def test_the_first_token_then_says_what_the_mean_said(make_trainer, splits, bert, ten_passes):
    trainer = make_trainer(model=bert, objective="scl", distill_mean=True, per_device_train_batch_size=32)
    texts = concatenate_datasets([splits["validation"], splits["test"]])
    batch = trainer.data_collator([{"input_ids": row["input_ids"]} for row in texts])

    def states():
        with torch.no_grad():
            return trainer.model.native.eval().bert(**batch).last_hidden_state

    mean = pool(states(), batch["attention_mask"].bool(), "mean")
    before = cosine_similarity(states()[:, 0], mean).mean()
    trainer.distill_mean()
    after = cosine_similarity(states()[:, 0], mean).mean()
    assert 1 - after < 0.5 * (1 - before)


def test_the_other_tokens_go_on_saying_what_they_said(bert, tokenizer, splits, monkeypatch):
    texts = tokenizer.pad([{"input_ids": row["input_ids"]} for row in splits["test"]], return_tensors="pt")
    others = texts["attention_mask"][:, 1:].bool()
    for module in bert.modules():
        if isinstance(module, torch.nn.Dropout):  # dropout noise alone moves so small an encoder as far
            module.p = 0.0

    def moved(kept):
        """Mean squared change of the hidden states of all tokens but the first."""
        monkeypatch.setattr(mean_distillation, "OTHER_TOKENS_WEIGHT", kept)
        model = LCLForSequenceClassification.from_native(copy.deepcopy(bert).eval())

        def states():
            with torch.no_grad():
                return model.native.bert(**texts).last_hidden_state[:, 1:][others]

        before = states()
        distill_mean(model, [dict(texts)] * 20, 20)
        return (states() - before).square().mean()

    assert moved(kept=1.0) < 0.5 * moved(kept=0.0)


def test_a_text_of_one_token_has_no_others_to_keep(bert):
    model = LCLForSequenceClassification.from_native(bert)
    batch = {"input_ids": torch.tensor([[2, 5, 3], [2, 0, 0]]), "attention_mask": torch.tensor([[1, 1, 1], [1, 0, 0]])}
    distill_mean(model, [batch, batch], 2)
    assert all(tensor.isfinite().all() for tensor in model.state_dict().values())


def test_of_few_texts_each_is_read_ten_times(make_trainer, splits, bert, ten_passes):
    few = splits["train"].select(range(8))
    trainer = make_trainer(model=bert, objective="scl", distill_mean=True, train=few, per_device_train_batch_size=8)
    sizes = []

    def count(module, inputs, output):
        if module.training:  # not in the frozen copy
            sizes.append(len(output))

    trainer.model.native.bert.embeddings.register_forward_hook(count)
    trainer.distill_mean()
    assert sum(sizes) == 80


def test_distillation_needs_no_labels_and_leaves_the_mode_of_the_model(bert, tokenizer):
    model = LCLForSequenceClassification.from_native(bert.eval())
    batch = dict(tokenizer(["glad today", "furious at work"], return_tensors="pt", padding=True))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    distill_mean(model, [batch, batch, batch], 3)
    assert not model.native.training
    assert changed(before, model.state_dict()) == {"embeddings", "encoder"}


@pytest.fixture
def without_linear_end(tokenizer, tmp_path):
    """A new classifier that averages the logits of tokens."""
    AutoModel.from_config(tiny_config("eurobert")).save_pretrained(tmp_path / "eurobert")
    tokenizer.save_pretrained(tmp_path / "eurobert")
    return new_classifier(tmp_path / "eurobert")


def test_a_classifier_that_cannot_be_fitted_is_trained_from_random_weights_and_this_is_said(
    weights_at_first_step, without_linear_end, caplog
):
    before, after, trainer = weights_at_first_step(without_linear_end, objective="lcl")
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert trainer.state.global_step == 1
    assert changed(after, trainer.model.state_dict()) >= {"classifier", "model"}
    told = [record.getMessage() for record in caplog.records if record.name == "hf_lcl.training.start"]
    assert told[0].startswith("Before the first step: classifier fitted, about ")
    assert len(told) == 2
    assert told[1].startswith("head_start is left out. The logits of EuroBertFor")


def test_where_no_classifier_can_be_fitted_names_stay_out_of_the_batches(make_trainer, without_linear_end):
    without_linear_end.set_class_names(list(SAYING))  # which say more than the texts
    trainer = make_trainer(model=without_linear_end, objective="lcl", max_steps=1)
    assert IS_NAME in next(iter(trainer.get_train_dataloader()))
    trainer.train()
    assert trainer.model.config.start == []
    assert "loss_names" not in trainer.state.log_history[0]


@pytest.mark.parametrize(
    ("settings", "is_told"),
    [({"objective": "lcl"}, True), ({"objective": "scl", "head_start": False}, False), ({"objective": "ce"}, False)],
    ids=str,
)
def test_a_model_in_memory_may_be_trained_already_and_this_is_said_once(make_trainer, bert, caplog, settings, is_told):
    trainer = make_trainer(bert, max_steps=1, **settings)
    trainer.train()
    trainer.train()
    told = [record.getMessage() for record in caplog.records if record.name == "hf_lcl.training.start"]
    assert len(told) == is_told
    assert all("pass the name of the encoder in its place, or set head_start=True" in line for line in told)
    assert all(line.endswith("if it is trained, head_start=False.") for line in told)


class TestNamesInTheDistillation:
    """The first token is trained on names only if these say more than the texts."""

    @pytest.fixture
    def encoder_at_first_step(self, make_trainer, as_sentence_transformer):
        """The encoder's weights at the beginning of the first step."""

        def run(names, **settings):
            model = LCLForSequenceClassification.from_encoder(
                as_sentence_transformer({"pooling_mode": "mean"}), id2label=dict(enumerate(names))
            )
            seen = AtFirstStep()
            make_trainer(model=model, objective="lcl", max_steps=1, callbacks=[seen], **settings).train()
            return {name: tensor for name, tensor in seen.weights.items() if "encoder" in name}

        return run

    def test_without_them_it_is_as_if_there_were_none(self, encoder_at_first_step):
        wrong = encoder_at_first_step(SAYING[::-1])
        assert changed(wrong, encoder_at_first_step(SAYING[::-1], names_as_texts=False)) == set()

    def test_with_them_it_is_not(self, encoder_at_first_step):
        fitting = encoder_at_first_step(SAYING)
        assert changed(fitting, encoder_at_first_step(SAYING, names_as_texts=False)) == {"encoder"}


def test_other_errors_are_not_taken_for_a_classifier_that_cannot_be_fitted(encoder_folder, splits, tmp_path):
    args = ContrastiveTrainingArguments(str(tmp_path), use_cpu=True, report_to=[])
    trainer = ContrastiveTrainer(str(encoder_folder), args, train_dataset=splits["train"])  # nothing that pads
    with pytest.raises(ValueError, match="expected sequence of length"):
        trainer.train()
    assert trainer.model.config.start is None


def test_where_it_was_asked_for_it_is_an_error(weights_at_first_step, without_linear_end):
    with pytest.raises(ValueError, match="EuroBertForSequenceClassification do not come out of a linear layer"):
        weights_at_first_step(without_linear_end, objective="lcl", head_start=True)


@pytest.mark.parametrize("has_linear_end", [True, False])
def test_the_card_tells_what_was_done(make_trainer, as_sentence_transformer, request, has_linear_end):
    if has_linear_end:
        model = new_classifier(as_sentence_transformer({"pooling_mode": "mean"}))
    else:
        model = request.getfixturevalue("without_linear_end")
    trainer = make_trainer(model=model, objective="lcl", max_steps=1)
    card = Path(trainer.args.output_dir) / "README.md"
    trainer.save_model()
    assert "before the first step" not in card.read_text().lower()
    trainer.train()
    trainer.save_model()
    assert ("| head_start | True |" in card.read_text()) == has_linear_end
    assert ("| distill_mean | True |" in card.read_text()) == has_linear_end


def test_a_resumed_run_is_not_started_again(make_trainer, as_sentence_transformer):
    folder = as_sentence_transformer({"pooling_mode": "mean"})
    settings = {"objective": "lcl", "max_steps": 2, "save_strategy": "steps", "save_steps": 1}
    whole = make_trainer(model=new_classifier(folder), folder="whole", **settings)
    whole.train()
    resumed = make_trainer(model=new_classifier(folder), folder="resumed", **settings)
    resumed.train(resume_from_checkpoint=f"{whole.args.output_dir}/checkpoint-1")
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name


def test_the_classifier_is_fitted_once_more_at_the_end(make_trainer, bert, monkeypatch):
    trainer = make_trainer(model=bert, objective="scl", head_refit=True, max_steps=2)
    between = {}
    fit = trainer.fit_classifier

    def remember_and_fit(**options):
        between.update({name: tensor.clone() for name, tensor in trainer.model.state_dict().items()})
        fit(**options)

    monkeypatch.setattr(trainer, "fit_classifier", remember_and_fit)
    trainer.train()
    assert changed(between, trainer.model.state_dict()) == {"classifier", "pooler"}


def test_a_classifier_of_the_last_token_has_no_use_for_the_mean(tmp_path):
    model, _ = tiny_wrapper("llama")
    args = ContrastiveTrainingArguments(str(tmp_path), objective="scl", distill_mean=True)
    with pytest.raises(ValueError, match=r"distill_mean=True .* llama"):
        distills_mean(args, model, dataset=None)


def test_the_name_of_a_class_is_a_text_of_it(tokenizer):
    given = [{"input_ids": [5], "labels": 0}]
    rows = names_as_texts(given, {0: "party_cake", 1: "LABEL_1", 2: "7", 3: "Furious"}, tokenizer)
    assert [(tokenizer.decode(row["input_ids"], skip_special_tokens=True), row["labels"]) for row in rows] == [
        ("party cake", 0),
        ("furious", 3),
    ]


def test_of_a_large_training_set_a_part_is_read(tokenizer):
    number = 20_010
    tokens = [[5 + row // 1000] * (1 + row % 3) for row in range(number)]
    rows = Dataset.from_dict({"input_ids": tokens, "labels": [0] * number, "row": range(number)})
    texts = texts_and_names(rows, names_as_texts(rows, {0: "glad", 1: "sad"}, tokenizer))
    assert len(texts) == 20_000 + 2
    drawn = [row["input_ids"] for row in texts[:20_000]]
    assert max(drawn[:2000])[0] - min(drawn[:2000])[0] > 10  # from everywhere
    lengths = [*map(len, drawn)]
    assert lengths == sorted(lengths)
    assert [row["labels"] for row in texts[20_000:]] == [0, 1]


def test_class_weights_count_where_the_classifier_is_fitted(make_trainer, bert, splits):
    weights = [1.0, 1.0, 1.0, 50.0]
    trainer = make_trainer(model=bert, objective="scl", class_weights=weights, names_as_texts=False)
    trainer.fit_classifier()
    model = trainer.model.eval()
    batch = trainer.data_collator([{k: row[k] for k in ("input_ids", "labels")} for row in splits["train"]])
    labels = batch.pop("labels")
    with torch.no_grad():
        outputs = model(**batch)
    features = (bert.bert.pooler.dense.weight[0, 0].item() * outputs.embeddings.double()).tanh().numpy()
    scale = np.sqrt(np.square(features - features.mean(axis=0)).sum(axis=1).mean())
    regression = LogisticRegression(C=INVERSE_PENALTY, max_iter=1000, class_weight=dict(enumerate(weights)))
    expected = torch.from_numpy(regression.fit(features / scale, labels).predict_proba(features / scale)).float()
    torch.testing.assert_close(outputs.logits.softmax(dim=1), expected, rtol=0, atol=0.02)


@pytest.mark.parametrize("names_count", [True, False])
def test_names_count_where_the_classifier_is_fitted(make_trainer, encoder_folder, splits, names_count):
    model = LCLForSequenceClassification.from_encoder(
        encoder_folder, id2label={0: "party", 1: "sigh", 2: "medal", 3: "furious"}, weighting="none"
    )
    one_class = splits["train"].filter(lambda row: row["labels"] < 3)  # the fourth class has only its name
    trainer = make_trainer(model=model, objective="scl", names_as_texts=names_count, train=one_class)
    trainer.fit_classifier()
    batch = tokenizer_batch(trainer.processing_class, ["furious"])
    with torch.no_grad():
        assert (trainer.model.eval()(**batch).logits.argmax().item() == 3) == names_count


def tokenizer_batch(tokenizer, texts):
    return tokenizer(texts, return_tensors="pt", padding=True)


class Stops(TrainerCallback):
    """Raises an error at a step, such as Ctrl-C or out of memory."""

    def __init__(self, error, step=1):
        self.error, self.step = error, step

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step and self.error is not None:
            error, self.error = self.error, None
            raise error


class TestOnlyAFreshModelIsStarted:
    """Trained weights are never overwritten."""

    @pytest.fixture
    def fresh(self, as_sentence_transformer):
        return new_classifier(as_sentence_transformer({"pooling_mode": "mean"}))

    @pytest.fixture
    def moved_by_a_second_training(self, make_trainer):
        """The parts that change in a training with a learning rate of 0."""

        def run(trainer):
            before = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
            trainer.args.learning_rate = 0.0
            trainer.args.weight_decay = 0.0
            trainer.optimizer = trainer.lr_scheduler = None
            trainer.train()
            return changed(before, trainer.model.state_dict())

        return run

    def test_a_second_training_goes_on(self, make_trainer, fresh, moved_by_a_second_training):
        trainer = make_trainer(model=fresh, objective="lcl", max_steps=1, head_start=True, names_as_texts=False)
        trainer.train()
        assert fresh.config.start == ["distill_mean", "head_start"]
        assert moved_by_a_second_training(trainer) == set()

    def test_so_does_another_trainer(self, make_trainer, fresh, moved_by_a_second_training):
        make_trainer(model=fresh, objective="lcl", max_steps=1).train()
        other = make_trainer(model=fresh, objective="lcl", max_steps=1)
        assert moved_by_a_second_training(other) == set()

    def test_a_model_that_cross_entropy_trained_is_not_fresh(self, make_trainer, fresh, moved_by_a_second_training):
        make_trainer(model=fresh, objective="ce", max_steps=1).train()
        assert moved_by_a_second_training(make_trainer(model=fresh, objective="scl", max_steps=1)) == set()

    def test_after_a_training_that_was_stopped(self, make_trainer, fresh, moved_by_a_second_training):
        trainer = make_trainer(model=fresh, objective="lcl", max_steps=2, callbacks=[Stops(KeyboardInterrupt())])
        with pytest.raises(KeyboardInterrupt):
            trainer.train()
        assert moved_by_a_second_training(trainer) == set()

    @pytest.mark.slow
    def test_a_smaller_batch_is_no_reason_for_another_start(self, make_trainer, fresh, monkeypatch):
        trainer = make_trainer(
            model=fresh,
            objective="lcl",
            max_steps=2,
            auto_find_batch_size=True,
            callbacks=[Stops(RuntimeError("CUDA out of memory."))],
        )
        starts, start = [], next(own for own in trainer.callback_handler.callbacks if isinstance(own, Start))
        fit = start._parts["head_start"]
        monkeypatch.setitem(start._parts, "head_start", lambda title: (starts.append("fit"), fit(title))[1])
        trainer.train()
        assert trainer._train_batch_size < 16
        assert starts == ["fit"]

    def test_a_checkpoint_knows_and_the_classifier_does_not_say(self, make_trainer, fresh, tmp_path):
        settings = {"objective": "lcl", "save_strategy": "steps", "save_steps": 1, "names_as_texts": False}
        trainer = make_trainer(model=fresh, max_steps=1, **settings)
        trainer.train()
        trainer.save_model()
        checkpoint = tmp_path / "out" / "checkpoint-1"
        loaded = LCLForSequenceClassification.from_pretrained(checkpoint)
        assert loaded.config.start == ["distill_mean", "head_start"]
        assert "head_start" not in (tmp_path / "out" / "config.json").read_text()
        resumed = make_trainer(model=new_classifier(tmp_path / "encoder"), max_steps=2, folder="resumed", **settings)
        resumed.train(resume_from_checkpoint=str(checkpoint))
        assert resumed.model.config.start == ["distill_mean", "head_start"]
        resumed.save_model()
        assert "| head_start | True |" in (tmp_path / "resumed" / "README.md").read_text()


class TestAStartThatWasInterrupted:
    """Leaves the model unchanged, so that the next attempt starts afresh."""

    @pytest.mark.parametrize("part", ["distill_mean", "fit_head"])
    def test_nothing_is_left_of_it(self, bert, tokenizer, part):
        model = LCLForSequenceClassification.from_native(bert)
        batch = dict(tokenizer(["glad today", "furious at work"], return_tensors="pt", padding=True))
        batch["labels"] = torch.tensor([0, 1])
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}

        def batches():
            yield batch
            yield batch
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            distill_mean(model, batches(), 4) if part == "distill_mean" else fit_head(model, batches())
        assert changed(before, model.state_dict()) == set()
        assert all(parameter.grad is None for parameter in model.parameters())


class TestWhatIsFrozenStays:
    """`requires_grad=False` is respected before and after the first step."""

    def test_a_frozen_encoder_trains_with_defaults(self, weights_at_first_step, as_sentence_transformer):
        model = new_classifier(as_sentence_transformer({"pooling_mode": "mean"}))
        model.native.bert.requires_grad_(False)
        before, after, trainer = weights_at_first_step(model, objective="lcl")
        assert changed(before, after) == {"classifier"}
        assert changed(after, trainer.model.state_dict()) == {"classifier", "weighting_network"}

    def test_where_only_the_pooler_learns_the_mean_has_nowhere_to_go(
        self, weights_at_first_step, as_sentence_transformer
    ):
        model = new_classifier(as_sentence_transformer({"pooling_mode": "mean"}))
        model.native.bert.requires_grad_(False)
        model.native.bert.pooler.requires_grad_(True)
        before, after, _ = weights_at_first_step(model, objective="lcl")
        assert changed(before, after) == {"pooler", "classifier"}
        assert model.config.start == ["head_start"]

    def test_a_frozen_classifier_is_not_fitted(self, weights_at_first_step, encoder_folder):
        model = new_classifier(encoder_folder)
        model.native.classifier.requires_grad_(False)
        before, after, _ = weights_at_first_step(model, objective="lcl")
        assert changed(before, after) == set()

    def test_what_is_asked_for_and_cannot_be_done_is_an_error(self, make_trainer, bert):
        bert.bert.requires_grad_(False)
        with pytest.raises(ValueError, match="distill_mean=True teaches the encoder, which is frozen"):
            make_trainer(model=bert, objective="scl", distill_mean=True)


def test_distillation_is_a_plain_loop_over_the_texts(bert, tokenizer):
    """Compares with the formula, computed for each text alone, without padding."""
    for module in bert.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    texts = [
        ["glad today", "furious at work with a friend"],
        ["sunny cake", "late again"],
        ["medal", "sigh the queue"],
    ]
    batches = [dict(tokenizer(pair, return_tensors="pt", padding=True)) for pair in texts]
    student, teacher = (copy.deepcopy(bert.bert).eval() for _ in range(2))
    optimizer = torch.optim.AdamW(student.parameters(), lr=mean_distillation.LEARNING_RATE, weight_decay=0.01)
    for step, pair in enumerate(texts):
        optimizer.param_groups[0]["lr"] = mean_distillation.LEARNING_RATE * (3 - step) / 3  # no warm-up in three steps
        losses = []
        for text in pair:
            one = tokenizer([text], return_tensors="pt")
            states = student(**one).last_hidden_state[0]
            target = teacher(**one).last_hidden_state[0].detach()
            target = torch.cat([target.mean(dim=0, keepdim=True), target[1:]])
            distance = (states - target).square().mean(dim=1) + 1 - cosine_similarity(states, target, dim=1)
            losses.append(distance[0] + distance[1:].mean())
        for parameter in student.parameters():
            parameter.grad = None
        (sum(losses) / len(losses)).backward()
        optimizer.step()

    distill_mean(LCLForSequenceClassification.from_native(bert), batches, 3)
    for name, expected in student.state_dict().items():
        if not name.endswith("key.bias"):  # its gradient is a rounding error, which Adam scales up
            torch.testing.assert_close(bert.bert.state_dict()[name], expected, atol=2e-5, rtol=0, msg=name)
