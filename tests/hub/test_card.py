"""The card: a pure function of facts, valid for the Hub, which never overwrites manual edits."""

import ast
import json
import re
import time
from dataclasses import fields, replace
from functools import cache
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import model_index_to_eval_results
from huggingface_hub.utils import validate_repo_id
from markdown_it import MarkdownIt

from hf_lcl import ContrastiveTrainingArguments
from hf_lcl.hub.card import refresh_card, render_card, write_card
from hf_lcl.hub.card_facts import CardFacts
from hf_lcl.hub.card_merging import GENERATED, PART, merged
from hf_lcl.hub.contents import published_files
from hf_lcl.hub.run_facts import evaluation_curve, training_settings


GOLDEN = Path(__file__).with_name("card.golden.md")
FACTS = CardFacts(
    model_name="me/feelings",
    labels=["furious", "annoyed", "a|b"],
    objective="lcl",
    settings={"learning_rate": 2e-5, "alpha": 0.5, "temperature": 0.3, "class_weights": [1.0, 2.0, 1.0]},
    metrics={"accuracy": 0.81234, "macro_f1": 0.79, "weighted_f1": 0.80},
    split="test",
    rows=1234,
    seeds=[42],
    calibration={"error_before": 0.1234, "temperature": 1.7, "error_after": 0.0312, "folded": True},
    temperature=1.9,
    per_class=[
        {"label": "furious", "precision": 0.8, "recall": 0.7, "f1": 0.7467, "support": 400},
        {"label": "annoyed", "precision": 0.6, "recall": 0.9, "f1": 0.72, "support": 434},
        {"label": "a|b", "precision": 1.0, "recall": 0.8, "f1": 0.8889, "support": 400},
    ],
    thresholds={"furious": 0.31, "annoyed": 0.5512, "a|b": 0.4},
    confused_pairs=[{"true": "furious", "predicted": "annoyed", "count": 100, "share": 0.25}],
    out_of_scope={
        **{"rule": "f1", "temperature": 0.5, "cut": 1.25, "texts": 1000},
        **{"kept": 0.951, "oos_texts": 300, "found": 0.81},
    },
    scope=[
        {
            **{"score": "largest logit", "auroc": 0.964, "aupr": 0.9, "auroc_difference": 0.0},
            **{"fpr_at_95_kept": 0.19, "oos_recall_at_95_kept": 0.81},
        }
    ],
    selective={
        "aurc": 0.05,
        "cuts": [{"wanted": 0.95, "reject_below": 0.63, "answered": 0.82, "accuracy": 0.951}],
    },
    intervals={"accuracy": (0.79, 0.833), "macro_f1": (0.765, 0.815)},
    baselines={
        "cross-entropy": {"metrics": {"accuracy": 0.8, "macro_f1": 0.77}, "intervals": {"accuracy": (0.777, 0.821)}},
        "cross-entropy after the same start": {
            "metrics": {"accuracy": 0.81, "macro_f1": 0.78},
            "intervals": {"accuracy": (0.787, 0.831), "macro_f1": (0.755, 0.805)},
        },
    },
    pictures={"Label relations": "report/label_relations.png", "Confusion matrix": "report/confusion_matrix.png"},
    base_model="google/electra-base-discriminator",
    base_license="apache-2.0",
    dataset="someone/feelings",
    dataset_title="Feelings of someone",
    dataset_revision="0123456789abcdef0123456789abcdef01234567",
    data_notes=["Texts with one feeling.", "Licence of the data: CC BY 4.0."],
    data_citation="Someone (2020), Feelings, https://huggingface.co/papers/2001.00001",
    splits={"train": 8000, "validation": 1000, "test": 1234},
    fingerprints={"train": "00112233aabbccdd"},
    curve=[
        {"epoch": 1.0, "step": 250, "loss": 0.9, "eval_loss": 0.8, "eval_accuracy": 0.75},
        {"epoch": 2.0, "step": 500, "loss": 0.5, "eval_loss": 0.7, "eval_accuracy": 0.8},
    ],
    best_step=500,
    hardware="1 × NVIDIA H200",
    training_seconds=754.2,
    versions={"python": "3.11.9", "transformers": "5.23.0"},
    language="en",
    license="apache-2.0",
    tags=["emotion"],
    widget_texts=["Nobody told me the shop was closed."],
)
# The minimal facts of a run.
BARE = CardFacts("out", ["0", "1"], "ce", {"learning_rate": 5e-5})


def parts(text: str) -> dict[str, str]:
    return {part["name"]: part["content"].strip() for part in PART.finditer(text)}


def test_the_card_is_the_golden_one():
    assert str(render_card(FACTS)) == GOLDEN.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "facts",
    [
        FACTS,
        BARE,
        replace(FACTS, objective="scl", adapter=True),
        replace(FACTS, remote_code=True, seeds=[1, 2, 3]),
        replace(BARE, base_model="/home/anna/encoder", dataset="../data/train.jsonl"),
        replace(BARE, metrics={"accuracy": 1.0}, split="validation", fingerprints={"validation": "00ff"}),
    ],
)
def test_the_metadata_keeps_the_rules_of_the_hub(facts):
    text = str(render_card(facts))
    data = ModelCard(text).data.to_dict()
    assert data["library_name"] in ("transformers", "peft")
    assert data["pipeline_tag"] == "text-classification"
    assert all(re.fullmatch(r"[\w.:-]+", tag) for tag in data["tags"])
    for name in (data.get("base_model"), *data.get("datasets", [])):
        if name is not None:
            validate_repo_id(name)
    assert ("license" in data) == (facts.license is not None)
    assert ("language" in data) == (facts.language is not None)
    assert ("model-index" in data) == bool(facts.metrics)
    if facts.metrics:
        name, results = model_index_to_eval_results(data["model-index"])
        assert name == facts.model_name
        assert [result.metric_value for result in results] == [round(value, 4) for value in facts.metrics.values()]
        assert {result.dataset_split for result in results} == {facts.split}
        assert all(result.dataset_type and result.dataset_name for result in results)
    assert "/home/anna" not in text
    assert "../data" not in text
    assert "None" not in text


def test_every_fact_shows():
    """Every fact is used: without it the card differs."""
    default = {item.name: item.default for item in fields(CardFacts)}
    card = str(render_card(FACTS))
    for item in fields(CardFacts):
        if item.name in ("model_name", "labels", "objective", "settings"):
            continue
        known = getattr(FACTS, item.name)
        other = None if default[item.name] is None else not known if isinstance(known, bool) else type(known)()
        assert str(render_card(replace(FACTS, **{item.name: other}))) != card, item.name


@pytest.mark.parametrize("remote_code", [False, True])
@pytest.mark.parametrize("adapter", [False, True])
def test_the_first_code_loads_the_model(remote_code, adapter):
    summary = parts(str(render_card(replace(FACTS, remote_code=remote_code, adapter=adapter))))["summary"]
    code = re.search(r"```python\n(.*?)```", summary, re.DOTALL)[1]
    compile(code, "card", "exec")
    assert ("trust_remote_code=True" in code) == remote_code
    assert ("PeftModel" in code) == adapter
    assert "hf_lcl" not in code


def trained(objective: str, **settings) -> str:
    settings = {"alpha": 0.5, "temperature": 0.3, **settings}
    return parts(str(render_card(replace(FACTS, objective=objective, settings=settings))))["training"]


def test_the_formula_is_the_one_that_was_trained_with():
    outside, inside = r"-\frac{w_{i,y_i}}{|P(i)|}", r"\log\frac{w_{i,y_i}\exp(h_i\cdot h_p/\tau)}"
    for card, found, missing in (
        (trained("lcl"), outside, inside),
        (trained("scl"), r"$$L = \alpha\,L_e + (1-\alpha)\,L_{SCL} ", "After the last step"),
        (trained("scl", normalize_embeddings=True), "`h_i` is the L2-normalised embedding", "first step"),
        (trained("ce"), "Objective: cross-entropy.", "$$"),
    ):
        assert found in card
        assert missing not in card


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("distill_mean", "Before the first step, the encoder's first token was trained"),
        ("names_in_batches", "Every batch also held the names of its classes: the cross-entropy of each text over"),
        ("head_start", "Before the first step, the classifier was fitted"),
        ("head_refit", "After the last step, the classifier was fitted"),
    ],
)
def test_what_was_done_beside_the_steps_is_said(setting, sentence):
    assert sentence in trained("scl", **{setting: True})
    assert sentence not in trained("scl", **{setting: False})


@pytest.mark.parametrize(
    ("labels", "warned"),
    [(["joy", "sadness", "anger"], True), (["Glad", "sad"], True), (["refund", "card_arrival"], False)],
)
def test_models_of_emotions_come_with_a_warning(labels, warned):
    card = str(render_card(replace(BARE, labels=labels)))
    assert ("mental state" in card) == warned


HOSTILE = [
    "<script>alert(1)</script>",
    "</details>",
    "<!-- hf_lcl:end labels -->",
    "# a heading",
    "---",
    "joy\n---\n# joy",
    "[click](https://evil.example)",
    "![tracked](https://evil.example/pixel.png)",
    "https://evil.example",
    "www.evil.example",
    "**bold** and __bold__ and _so_ on",
    "`code`",
    "```\ncode\n```",
    "$x^2$ and \\(x\\)",
    "~~gone~~",
    "a|b",
    "&lt;b&gt;",
    "\\",
    "snake_case",
]


READER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


def named(name: str) -> str:
    """A card with this name for everything that a run can name."""
    row = {"label": name, "precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 1}
    pair = {"true": name, "predicted": name, "count": 1, "share": 0.1}
    facts = {"labels": [name] * 3, "per_class": [row], "confused_pairs": [pair], "dataset_title": name, "split": name}
    facts |= {"hardware": name, "splits": {name: 3}, "settings": FACTS.settings | {"argument": name}}
    return str(render_card(replace(FACTS, dataset=None, **facts)))


def seen(text: str) -> list[str]:
    """The rendered text of markdown: a line for each paragraph, heading and cell."""
    blocks = [block for block in READER.parse(text) if block.type == "inline"]
    return ["".join(part.content for part in block.children) for block in blocks]


def structure(text: str) -> list[str]:
    """The types of all block and inline elements."""
    return [part.type for block in READER.parse(text) for part in (block, *(block.children or []))]


@cache
def structure_of_harmless_name() -> list[str]:
    return structure(ModelCard(named("refund")).text)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_is_letters_to_a_reader_and_nothing_else(name):
    card = named(name)
    assert seen(parts(card)["labels"])[4::2] == [" ".join(name.split())] * 3
    assert structure(ModelCard(card).text) == structure_of_harmless_name()
    assert set(parts(card)) == set(parts(GOLDEN.read_text(encoding="utf-8")))
    # Some markdown renderers link bare addresses.
    assert "://evil" not in ModelCard(card).text
    assert "www.evil" not in ModelCard(card).text


@pytest.mark.parametrize("name", HOSTILE)
def test_the_name_of_a_model_is_the_heading_and_a_string_in_the_code(name):
    card = render_card(replace(FACTS, model_name=name, adapter=True))
    summary = parts(str(card))["summary"]
    assert seen(summary)[0] == " ".join(name.split())
    blocks = [block.type for block in READER.parse(summary) if block.level == 0 and block.nesting >= 0]
    assert blocks == ["heading_open", "paragraph_open", "fence"]
    code = ast.parse(next(block.content for block in READER.parse(summary) if block.type == "fence"))
    strings = [node.value for node in ast.walk(code) if isinstance(node, ast.Constant)]
    assert strings.count(name) == 2
    assert card.data.model_name == name
    assert ModelCard(str(card)).data.model_name == name


def test_a_temperature_that_does_not_help_is_not_offered():
    calibration = FACTS.calibration | {"folded": False}
    helps, harms = (calibration | {"error_after": after} for after in (0.0312, 0.1235))

    def results(**facts) -> str:
        return parts(str(render_card(replace(FACTS, **{"thresholds": {}, "temperature": None} | facts))))["results"]

    assert "were divided by the temperature 1.900" in results(calibration={}, temperature=1.9)
    assert "Divided by the temperature 1.700" in results(calibration=helps)
    assert "temperature" not in results(calibration=harms)
    assert "temperature" not in results(calibration=helps, thresholds=FACTS.thresholds)  # scores are decisions then


def test_results_of_another_classifier_do_not_stay(tmp_path):
    write_card(FACTS, tmp_path)
    assert ModelCard.load(tmp_path / "README.md").data.eval_results
    (tmp_path / "config.json").write_text('{"id2label": {"0": "glad", "1": "sad"}}')
    refresh_card(tmp_path)  # there is no report on what is there now
    card = ModelCard.load(tmp_path / "README.md")
    assert not card.data.eval_results
    assert card.data.to_dict().keys() & {"metrics", "model-index"} == set()
    assert "## Results" not in card.text


def test_a_card_is_written_once_and_then_stays_equal(tmp_path):
    write_card(FACTS, tmp_path)
    first = (tmp_path / "README.md").read_text()
    write_card(FACTS, tmp_path)
    assert (tmp_path / "README.md").read_text() == first
    write_card(BARE, tmp_path)
    write_card(FACTS, tmp_path)
    assert (tmp_path / "README.md").read_text() == first


def edited(old: str, new: str) -> str:
    """The card of `FACTS`, changed by hand, after a later run."""
    text = str(render_card(FACTS))
    assert old in text
    later = replace(
        FACTS, metrics={"accuracy": 0.5}, baselines={}, intervals={}, labels=["x", "y"], hardware="a pocket calculator"
    )
    return merged(text.replace(old, new, 1), render_card(later))


def test_a_part_that_was_changed_stays_and_the_others_follow_the_run():
    text = edited("Test it on texts of your own", "Ask my grandmother")
    assert "Ask my grandmother" in text
    assert "| accuracy | 0.5000 (0.472 to 0.528) |" in text
    assert "pocket calculator" in text
    again = merged(text, render_card(BARE))  # the edit survives further runs
    assert "Ask my grandmother" in again
    assert "pocket calculator" not in again


def test_words_between_the_parts_stay():
    mark = "<!-- hf_lcl:begin training"
    text = edited(mark, "## My own chapter\n\nWritten at night.\n\n" + mark)
    assert "## My own chapter\n\nWritten at night." in text
    assert "pocket calculator" in text


def test_a_part_that_was_removed_stays_away():
    whole = next(part[0] for part in PART.finditer(str(render_card(FACTS))) if part["name"] == "labels")
    text = edited(whole, "")
    assert "## Labels" not in text
    assert "| accuracy | 0.5000 (0.472 to 0.528) |" in text


def test_metadata_that_was_changed_stays_but_for_the_results():
    text = edited("license: apache-2.0", "license: mit\nthumbnail: hello.png")
    data = ModelCard(text).data
    assert data.license == "mit"
    assert data.to_dict()["thumbnail"] == "hello.png"
    assert [result.metric_value for result in data.eval_results] == [0.5]
    again = ModelCard(merged(text, render_card(replace(FACTS, license="bsd", language="fr"))))
    assert again.data.license == "mit"


def test_metadata_that_nobody_changed_follows_the_run():
    text = merged(str(render_card(FACTS)), render_card(replace(BARE, base_model="other/encoder")))
    data = ModelCard(text).data
    assert data.base_model == "other/encoder"
    assert data.license is None
    assert data.eval_results is None


def test_windows_line_ends_are_no_change():
    text = str(render_card(FACTS)).replace("\n", "\r\n")
    assert "| accuracy | 0.5000 (0.472 to 0.528) |" in merged(
        text, render_card(replace(FACTS, metrics={"accuracy": 0.5}, baselines={}, intervals={}))
    )


def test_a_tokenizer_whose_class_is_not_named_is_published(plain):
    settings = plain / "tokenizer_config.json"
    content = json.loads(settings.read_text())
    content.pop("tokenizer_class", None)
    settings.write_text(json.dumps(content))
    (plain / "vocab.txt").write_text("[PAD]")
    assert {"tokenizer_config.json", "tokenizer.json", "vocab.txt"} <= published_files(plain).keys()


def test_marks_that_nobody_closed_are_read_in_one_pass():
    text = GENERATED + "\n<!-- hf_lcl:begin labels -->\nsome words" * 3000
    start = time.process_time()
    assert merged(text, render_card(FACTS)).count("some words") == 3000
    assert time.process_time() - start < 1


def test_pictures_that_nobody_closed_are_read_in_one_pass(plain):
    (plain / "README.md").write_text("![" * 50_000)
    start = time.process_time()
    published_files(plain)
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    ("metadata", "line", "reason"),
    [
        ("license: mit\ntags: [a, b", ", line 3", "expected ',' or ']'"),
        ("license: mit\n\tlanguage: en", ", line 3", "found character"),
        ("- license", "", "should be a dict"),
        ("1: mit", "", "keywords must be strings"),
    ],
)
def test_broken_metadata_is_one_line(tmp_path, caplog, metadata, line, reason):
    text = f"---\n{metadata}\n---\n{GENERATED}\n# My words"
    with pytest.raises(ValueError, match=f"metadata of README.md{line} is broken") as caught:
        merged(text, render_card(BARE))
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    (tmp_path / "README.md").write_text(text)
    write_card(BARE, tmp_path)
    assert (tmp_path / "README.md").read_text() == text
    assert f"README.md{line} is broken" in caplog.messages[-1]
    assert "\n" not in caplog.messages[-1]


@pytest.mark.parametrize("text", ["# My words", "", str(render_card(FACTS)).replace(GENERATED, "")])
def test_a_card_without_the_line_is_somebodys_and_stays(tmp_path, text):
    (tmp_path / "README.md").write_text(text)
    write_card(BARE, tmp_path)
    assert (tmp_path / "README.md").read_text() == text


def test_a_card_that_cannot_be_written_ends_no_run(tmp_path):
    (tmp_path / "README.md").mkdir()
    write_card(FACTS, tmp_path)
    write_card(replace(BARE, objective="unheard of"), tmp_path / "nowhere")
    assert (tmp_path / "README.md").is_dir()


def test_settings_are_those_of_the_objective_and_whatever_is_not_the_default(tmp_path):
    args = ContrastiveTrainingArguments(
        str(tmp_path / "out"),
        objective="lcl",
        weight_decay=0.1,
        num_views=2,
        lr_scheduler_type="cosine",
        run_name="a secret project",
        hub_token="hf_" + "x" * 34,
        use_cpu=True,
    )
    settings = training_settings(args)
    assert settings["temperature"] == 0.3
    assert settings["weight_decay"] == 0.1
    assert settings["num_views"] == 2
    assert settings["lr_scheduler_type"] == "cosine"
    assert {"view", "adam_beta1", "run_name", "hub_token", "output_dir"}.isdisjoint(settings)
    assert not any(str(tmp_path) in str(value) or "hf_x" in str(value) for value in settings.values())
    plain = training_settings(ContrastiveTrainingArguments(str(tmp_path), objective="ce", use_cpu=True))
    assert list(plain) == [
        "learning_rate",
        "num_train_epochs",
        "per_device_train_batch_size",
        "gradient_accumulation_steps",
        "seed",
    ]


def test_arguments_that_others_have_taken_the_place_of_are_left_out(tmp_path):
    args = ContrastiveTrainingArguments(str(tmp_path), objective="scl", head_refit=True, max_steps=5, use_cpu=True)
    settings = training_settings(args)
    assert "num_train_epochs" not in settings
    assert (settings["max_steps"], settings["head_refit"]) == (5, True)


def test_the_curve_is_the_evaluations_with_the_loss_before_each():
    history = [{"step": 0, "epoch": 0.0, "eval_loss": 2.0}]
    for step in range(1, 101):
        history += [
            {"step": step, "epoch": step / 10, "loss": 1 / step},
            {"step": step, "epoch": step / 10, "eval_loss": 2 / step, "eval_accuracy": 0.5, "eval_runtime": 1.0},
        ]
    whole = evaluation_curve(history, max_rows=1000)
    assert whole[0] == {"epoch": 0.0, "step": 0, "loss": None, "eval_loss": 2.0, "eval_accuracy": None}
    assert whole[7] == {"epoch": 0.7, "step": 7, "loss": 1 / 7, "eval_loss": 2 / 7, "eval_accuracy": 0.5}
    short = evaluation_curve(history)
    assert len(short) <= 20
    assert short[-1]["step"] == 100
    assert evaluation_curve([{"step": 1, "loss": 1.0}]) == []


def test_a_card_that_cannot_be_read_is_told_of_once_and_stays(make_trainer, tmp_path, caplog):
    trainer = make_trainer(objective="ce", weighting="none")
    card = tmp_path / "out" / "README.md"
    card.parent.mkdir(exist_ok=True)
    words = f"---\na: [1\n---\n{GENERATED}\nMy words.\n"
    card.write_text(words)
    trainer.save_model()
    trainer.create_model_card()
    assert card.read_text() == words
    told = [record.getMessage() for record in caplog.records if str(card) in record.getMessage()]
    assert len(told) == 1
    assert "The metadata of README.md, line 2 is broken" in told[0]
