"""A push uploads the standard classifier, its tokenizer and its card, and nothing else."""

import copy
import json
import shlex
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from docstrings import examples, run
from emulator import TOKENS, WRITE_TOKEN
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt
from redirection import environment
from safetensors.torch import load as load_weights
from transformers import AutoModelForSequenceClassification, AutoTokenizer, TrainerCallback

from hf_lcl import LCLForSequenceClassification
from hf_lcl.__main__ import main
from hf_lcl.hub import PushError, push_folder, push_model
from hf_lcl.hub.card_merging import PART
from hf_lcl.hub.contents import check_secrets
from hf_lcl.hub.export import save_sequence_classifier
from hf_lcl.hub.push import retry_hint


PUBLISHED = {"README.md", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
REPO = "anna/feelings"
# Concatenated here, so that secret scanners do not flag this file.
SECRETS = {
    "hub": "hf_" + "aB3" * 12,
    "hub login": "hf_" + "oauth_" + "eyJhbGciOiJFZERTQSJ9.eyJzY29wZSI6W10sInN1YiI6IjYyMS.x-_Y",
    "openai": "sk" + "-" + "aB3d" * 12,
    "openai project": "sk" + "-proj-" + "aB3_" * 20,
    "anthropic": "sk" + "-ant-api03-" + "aB3-" * 20,
    "github": "ghp" + "_" + "aB3d" * 9,
    "github, fine-grained": "github" + "_pat_" + "11ABCDEFG0_" + "aB3d" * 14,
    "gitlab": "glpat" + "-" + "aB3d_" * 4,
    "aws": "AKIA" + "IOSFODNN7EXAMPLE",
    "google": "AIza" + "SyA-1234567890abcdefghijklmnopqrstu",
    "slack": "xoxb" + "-123456789012-abcdef",
    "slack, app": "xapp" + "-1-A0123-aB3daB3daB3d",
    "slack, hook": "https://hooks.slack.com/" + "services/T01234567/B01234567/" + "aB3d" * 6,
    "discord": "https://discord.com/" + "api/webhooks/123456789012345678/" + "aB3_" * 17,
    "telegram": "123456789" + ":AA" + "aB3" * 11,
    "google login": "ya29" + "." + "aB3_" * 15,
    "json web token": "eyJ" + "hbGciOiJIUzI1NiJ9.eyJ" + "zdWIiOiIxMjM0NTY3ODkwIn0." + "aB3_" * 10,
    "sendgrid": "SG" + "." + "aB" * 11 + "." + "aB3" * 14 + "a",
    "digitalocean": "dop" + "_v1_" + "a0b1" * 16,
    "groq": "gsk" + "_" + "aB3d" * 13,
    "replicate": "r8" + "_" + "aB3d" * 9 + "a",
    "perplexity": "pplx" + "-" + "aB3d" * 12,
    "nvidia": "nvapi" + "-" + "aB3_" * 16,
    "wandb": "wandb" + "_v1_" + "aB3d" * 15,
    "private key": "-----BEGIN RSA " + "PRIVATE KEY-----",
}


def published(hub, repo=REPO, revision="main") -> set[str]:
    return set(hub.files(repo, revision)) - {".gitattributes"}


def write(folder: Path, hub, revision="main", repo=REPO) -> Path:
    """Writes a revision of a repository to a folder."""
    folder.mkdir()
    for name, content in hub.files(repo, revision).items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


class AtTheEnd(TrainerCallback):
    """Sets an event when a training ends."""

    def __init__(self, event: threading.Event):
        self.event = event

    def on_train_end(self, *_, **__):
        self.event.set()


# Runs where `import hf_lcl` fails: pushes a wrapper that was saved with its code, and loads models without a token.
WITHOUT_HF_LCL = """
import json, sys
sys.modules["hf_lcl"] = None
import torch
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer, pipeline
wrapper, token, texts, result, *repos = sys.argv[1:]
texts, found = json.loads(texts), {}
model = AutoModel.from_pretrained(wrapper, trust_remote_code=True)
model.push_to_hub("anna/alone", commit_message="Alone", token=token)
for repo in repos:
    tokenizer = AutoTokenizer.from_pretrained(repo)
    model, report = AutoModelForSequenceClassification.from_pretrained(repo, output_loading_info=True)
    with torch.no_grad():
        logits = model(**tokenizer(texts, padding=True, return_tensors="pt")).logits
    found[repo] = {
        "class": type(model).__name__,
        "problems": [key for kind in report.values() for key in kind],
        "logits": logits,
        "scores": [{one["label"]: one["score"] for one in each} for each in pipeline(model=repo, top_k=None)(texts)],
    }
torch.save(found, result)
"""


class TestForOthers:
    """A trained model as other users load it."""

    @pytest.mark.slow
    def test_without_hf_lcl_the_numbers_are_those_of_the_trainer(self, hub, make_trainer, logits, texts, tmp_path):
        natives = {}
        for several, repo in ((False, REPO), (True, "anna/several")):
            trainer = make_trainer(objective="lcl", several=several, max_steps=2, hub_model_id=repo.split("/")[1])
            trainer.train()
            trainer.push_to_hub()
            natives[repo] = copy.deepcopy(trainer.model.to_sequence_classifier())
        wrapper, result = tmp_path / "wrapper", tmp_path / "result.pt"
        trainer.model.save_pretrained(wrapper)
        variables = environment(hub.url, tmp_path / "reader") | {"HF_HUB_DISABLE_XET": "1"}
        arguments = [str(wrapper), WRITE_TOKEN, json.dumps(texts), str(result), *natives]
        subprocess.run([sys.executable, "-c", WITHOUT_HF_LCL, *arguments], check=True, env=variables)

        for repo, found in torch.load(result).items():
            native = natives[repo]
            expected, names = logits(native), native.config.id2label.values()
            assert found["class"] == "BertForSequenceClassification"
            assert found["problems"] == []
            assert torch.equal(found["logits"], expected)
            probabilities = expected.softmax(dim=1) if repo == REPO else expected.sigmoid()
            for scores, row in zip(found["scores"], probabilities.tolist(), strict=True):
                assert scores == pytest.approx(dict(zip(names, row)), abs=1e-5)
        assert set(names) == {"angry", "annoyed", "glad", "proud"}

        assert hub.commits("anna/alone") == ["Alone"]
        alone = AutoModelForSequenceClassification.from_pretrained(write(tmp_path / "alone", hub, repo="anna/alone"))
        assert type(alone) is type(native)
        assert torch.equal(logits(alone), expected)

    def test_there_is_the_classifier_and_nothing_else(self, hub, make_trainer):
        trainer = make_trainer(objective="lcl", max_steps=1, hub_model_id=REPO)
        trainer.train()
        commit = trainer.push_to_hub(language="en", dataset_tags="dair-ai/emotion")
        assert published(hub) == PUBLISHED
        assert hub.commits(REPO) == ["End of training"]
        assert commit.oid == hub.repos[REPO].at("main").oid
        card = hub.files(REPO)["README.md"].decode()
        assert "pipeline_tag: text-classification" in card
        assert "dair-ai/emotion" in card
        assert REPO in card

    def test_no_file_tells_the_token_a_folder_or_a_text(self, hub, make_trainer, encoder_folder, raw_splits, tmp_path):
        trainer = make_trainer(
            str(encoder_folder),
            tokenizer=AutoTokenizer.from_pretrained(encoder_folder),
            objective="lcl",
            max_steps=1,
            save_strategy="steps",
            save_steps=1,
            push_to_hub=True,
            hub_model_id=REPO,
            hub_token=WRITE_TOKEN,
        )
        trainer.train()
        trainer.push_to_hub(include_training_state=True, finetuned_from=str(encoder_folder))
        texts = [text.encode() for text in raw_splits["train"]["text"]]
        for revision in (commit.oid for commit in hub.repos[REPO].branches["main"]):
            for name, content in hub.files(REPO, revision).items():
                assert WRITE_TOKEN.encode() not in content, name
                assert str(tmp_path).encode() not in content, name
                assert not any(text in content for text in texts), name
        # The files on this machine do not contain the token either.
        files = [path for path in Path(trainer.args.output_dir).rglob("*") if path.is_file()]
        assert any(path.name == "training_args.bin" for path in files)
        for path in files:
            assert WRITE_TOKEN.encode() not in path.read_bytes(), path
        assert trainer.args.hub_token == WRITE_TOKEN

    def test_a_private_repository_and_a_branch(self, hub, make_trainer):
        trainer = make_trainer(hub_model_id=REPO, hub_private_repo=True, hub_revision="second-try")
        trainer.push_to_hub()
        assert hub.repos[REPO].private
        assert published(hub, revision="second-try") == PUBLISHED
        assert published(hub) == set()

    def test_an_adapter_alone(self, hub, make_trainer):
        peft = pytest.importorskip("peft")
        trainer = make_trainer(merge_adapter=False, hub_model_id=REPO, peft_config=peft.LoraConfig(r=2))
        trainer.push_to_hub()
        assert published(hub) == PUBLISHED - {"model.safetensors"} | {
            "adapter_config.json",
            "adapter_model.safetensors",
        }


class TestWhileTraining:
    """`hub_strategy`: each push is a working classifier."""

    @pytest.mark.parametrize(
        ("strategy", "pushes"),
        [
            ("end", 0),
            ("checkpoint", 2),
            ("all_checkpoints", 2),
        ],
    )
    def test_every_push_is_a_whole_classifier(self, hub, make_trainer, strategy, pushes, tmp_path, logits):
        trainer = make_trainer(
            objective="lcl",
            num_train_epochs=2,
            per_device_train_batch_size=64,
            save_strategy="epoch",
            push_to_hub=True,
            hub_strategy=strategy,
            hub_always_push=strategy != "all_checkpoints",
            hub_model_id=REPO,
        )
        trainer.train()
        assert hub.commits(REPO) == [f"Training in progress, epoch {epoch}" for epoch in range(1, pushes + 1)]
        trainer.push_to_hub()
        states = hub.repos[REPO].branches["main"][1:]
        for number, state in enumerate(states, start=1):
            assert published(hub, revision=state.oid) == PUBLISHED
            folder = write(tmp_path / f"push-{number}", hub, state.oid)
            model = AutoModelForSequenceClassification.from_pretrained(folder)
            assert model.config.id2label[0] == "angry"
            checkpoint = f"{trainer.args.output_dir}/checkpoint-{number}"
            if strategy != "end" and number <= pushes:
                wrapper = LCLForSequenceClassification.from_pretrained(checkpoint)
                assert torch.equal(logits(model), logits(wrapper))
        assert torch.equal(logits(model), logits(trainer.model))

    def test_a_push_is_left_out_while_the_one_before_it_runs(self, hub, make_trainer):
        trainer = make_trainer(max_steps=3, save_strategy="steps", save_steps=1, push_to_hub=True, hub_model_id=REPO)
        # Keeps the queue busy until the training ends.
        end = threading.Event()
        trainer.publisher.queue.run_as_future(end.wait, 20)  # a time limit, in case the push is not skipped
        trainer.add_callback(AtTheEnd(end))
        trainer.train()
        assert hub.commits(REPO) == ["Training in progress, step 1"]

    def test_saving_elsewhere_publishes_what_was_saved_there(self, hub, make_trainer, tmp_path):
        trainer = make_trainer(push_to_hub=True, hub_strategy="end", hub_model_id=REPO)
        trainer.save_model()
        trainer.model.native.classifier.bias.data += 1
        trainer.save_model(str(tmp_path / "other"))
        here, there = (tmp_path / name / "model.safetensors" for name in ("out", "other"))
        assert here.read_bytes() != there.read_bytes()
        assert hub.files(REPO)["model.safetensors"] == there.read_bytes()

    def test_saving_waits_for_the_push_that_still_reads_the_files(self, hub, make_trainer, monkeypatch):
        trainer = make_trainer(push_to_hub=True, hub_strategy="end", hub_model_id=REPO)
        asked, answer, answers = threading.Event(), threading.Event(), hub.answer

        def slowly(method, url, *others):
            if "/preupload/" in url:
                asked.set()
                answer.wait(10)
            return answers(method, url, *others)

        monkeypatch.setattr(hub, "answer", slowly)
        first = trainer.push_to_hub(blocking=False)
        old = (Path(trainer.args.output_dir) / "model.safetensors").read_bytes()
        assert asked.wait(10)
        trainer.model.native.classifier.bias.data += 1
        threading.Timer(0.2, answer.set).start()
        trainer.save_model()
        assert first.done()
        assert hub.files(REPO, first.result().oid)["model.safetensors"] == old
        assert hub.files(REPO)["model.safetensors"] != old

    def test_a_push_that_waits_keeps_its_token_while_a_checkpoint_is_saved(self, hub, make_trainer, monkeypatch):
        monkeypatch.delenv("HF_TOKEN")
        trainer = make_trainer(hub_model_id=REPO, hub_token=WRITE_TOKEN)
        free = threading.Event()
        trainer.publisher.queue.run_as_future(free.wait, 20)
        waiting = trainer.push_to_hub(blocking=False)

        def save(*_, **__):  # in the middle of saving a checkpoint, the queue goes on
            free.set()
            waiting.result(20)

        monkeypatch.setattr(trainer, "_save", save)
        trainer.save_model(str(Path(trainer.args.output_dir) / "checkpoint-1"), _internal_call=True)
        assert hub.commits(REPO) == ["End of training"]

    def test_saving_publishes_too(self, hub, make_trainer):
        trainer = make_trainer(push_to_hub=True, hub_strategy="end", hub_model_id=REPO)
        trainer.save_model()
        assert published(hub) == PUBLISHED
        assert hub.commits(REPO) == ["Model save"]


class TestFolder:
    """`push_folder`, behind `python -m hf_lcl push`."""

    def test_what_else_lies_there_stays_there(self, hub, saved):
        push_folder(saved, REPO)
        assert published(hub) == PUBLISHED

    @pytest.mark.parametrize("problem", ["single_label_classification", "multi_label_classification"])
    def test_what_is_pulled_decides_as_what_was_pushed(self, hub, bert, tokenizer, logits, tmp_path, problem):
        bert.config.problem_type, cuts = problem, {"angry": 0.3, "annoyed": 0.2, "glad": 0.5, "proud": 0.9}
        if problem.startswith("multi"):
            bert.config.folded_thresholds = cuts
        save_sequence_classifier(LCLForSequenceClassification.from_native(bert), tmp_path / "own", tokenizer=tokenizer)
        push_folder(tmp_path / "own", REPO)
        pulled = AutoModelForSequenceClassification.from_pretrained(write(tmp_path / "pulled", hub))
        assert pulled.config.problem_type == problem
        assert getattr(pulled.config, "folded_thresholds", cuts) == cuts
        assert torch.equal(logits(pulled), logits(bert))

    def test_a_second_push_sends_nothing(self, hub, saved):
        first = push_folder(saved, REPO)
        sent = list(hub.sent)
        second = push_folder(saved, REPO)
        assert len(sent) == 1
        assert hub.sent == sent
        assert len(hub.commits(REPO)) == 1
        assert second.oid == first.oid

    def test_the_training_state_can_be_trained_on(self, hub, saved, tmp_path, logits):
        push_folder(saved, REPO, include_training_state=True)
        state = {"training_state/config.json", "training_state/model.safetensors"}
        assert published(hub) == PUBLISHED | state
        folder = write(tmp_path / "pulled", hub)
        wrapper, report = LCLForSequenceClassification.from_pretrained(
            folder, subfolder="training_state", output_loading_info=True
        )
        assert not [key for kind in report.values() for key in kind]
        assert wrapper.weighting_network is not None
        assert torch.equal(logits(wrapper), logits(AutoModelForSequenceClassification.from_pretrained(folder)))
        by_hub = LCLForSequenceClassification.from_pretrained(REPO, subfolder="training_state")
        assert torch.equal(logits(by_hub), logits(wrapper))

    def test_shards_of_an_earlier_push_are_removed(self, hub, saved, tmp_path):
        model = AutoModelForSequenceClassification.from_pretrained(saved)
        shards = tmp_path / "shards"
        model.save_pretrained(shards, max_shard_size="40KB")
        push_folder(shards, REPO)
        assert "model.safetensors.index.json" in published(hub)
        push_folder(saved, REPO)
        assert published(hub) == PUBLISHED

    def test_a_classifier_in_shards_is_published_whole(self, hub, saved, tmp_path, logits):
        model = AutoModelForSequenceClassification.from_pretrained(saved)
        shards = tmp_path / "shards"
        model.save_pretrained(shards, max_shard_size="40KB")
        AutoTokenizer.from_pretrained(saved).save_pretrained(shards)
        push_folder(shards, REPO)
        pulled = write(tmp_path / "pulled", hub)
        assert len(list(pulled.glob("model-*-of-*.safetensors"))) > 1
        assert torch.equal(logits(AutoModelForSequenceClassification.from_pretrained(pulled)), logits(model))

    @pytest.mark.parametrize(
        ("name", "kind"), [("README.md", "hub"), ("tokenizer_config.json", "hub"), ("config.json", "openai")]
    )
    def test_a_file_with_a_token_is_not_published(self, hub, plain, name, kind):
        (plain / "README.md").write_text("# My words\n\n")
        first, *rest = (plain / name).read_text().splitlines()
        secret = f'"key": "{SECRETS[kind]}",' if name.endswith("json") else f"key={SECRETS[kind]}"
        (plain / name).write_text("\n".join([first, "", secret, *rest]))
        with pytest.raises(ValueError, match=f"^{name}, line 3 contains a token") as caught:
            push_folder(plain, REPO)
        assert SECRETS[kind] not in str(caught.value)
        assert REPO not in hub.repos

    @pytest.mark.parametrize("kind", SECRETS)
    def test_tokens_of_all_kinds_are_found(self, kind):
        with pytest.raises(ValueError, match=r"^README.md, line 3 contains a token") as caught:
            check_secrets({"README.md": f"# My words\n\nkey={SECRETS[kind]}\n".encode()}, None)
        assert SECRETS[kind] not in str(caught.value)

    @pytest.mark.parametrize("before", ["a\n", "\t", "\u2028", "https://a.b/?key%3D", "https://a.b/?key=", "my_"])
    def test_an_escape_in_front_of_a_token_does_not_hide_it(self, before):
        content = json.dumps({"note": f"{before}{SECRETS['hub']}"}).encode()
        with pytest.raises(ValueError, match=r"^config.json, line 1 contains a token"):
            check_secrets({"config.json": content}, None)

    @pytest.mark.parametrize("piece", ["sk-", "sk-a", "-eyJ", "eyJabcdefghijk.", "hf_", "-----BEGIN "])
    def test_beginnings_of_tokens_are_read_in_one_pass(self, piece):
        began = time.perf_counter()
        check_secrets({"tokenizer.json": piece.encode() * 30_000}, None)
        assert time.perf_counter() - began < 10  # minutes if every prefix is matched to the end

    def test_a_card_that_is_no_utf_8_is_named(self, plain):
        (plain / "README.md").write_bytes("# Wörter\n".encode("cp1252"))
        with pytest.raises(ValueError, match=r"^README.md is not UTF-8 \(byte 3\): save it as UTF-8"):
            push_folder(plain, REPO)

    def test_the_token_in_use_is_found_whatever_it_looks_like(self, hub, plain, monkeypatch):
        monkeypatch.setitem(TOKENS, "open sesame", ("anna", "write"))
        (plain / "README.md").write_text("Log in.\nThe password is open sesame.\n")
        with pytest.raises(ValueError, match=r"^README.md, line 2 contains a token"):
            push_folder(plain, REPO, token="open sesame")
        assert REPO not in hub.repos
        push_folder(plain, REPO, token=WRITE_TOKEN)
        assert "README.md" in published(hub)

    @pytest.mark.parametrize(
        "text", ["risk-averse-and-otherwise-hesitant-customers", "sk-learn-based-classification-of-texts"]
    )
    def test_words_that_look_a_little_like_a_token_are_none(self, text):
        check_secrets({"README.md": text.encode()}, None)

    @pytest.mark.parametrize("name", ["tokenizer_config.json", "model.safetensors", "report"])
    def test_a_link_out_of_the_folder_is_not_followed(self, hub, plain, tmp_path, name):
        outside = tmp_path / "private"
        if name == "report":
            outside.mkdir()
            (outside / "picture.png").write_bytes(b"private")
            (plain / "README.md").write_text("![A picture](report/picture.png)")
        else:
            (plain / name).rename(outside)
        (plain / name).symlink_to(outside)
        with pytest.raises(ValueError, match=rf"{name}.* is a link out of the folder, to .*private"):
            push_folder(plain, REPO)
        assert hub.requests == []

    def test_a_link_inside_of_the_folder_is(self, hub, plain, tmp_path):
        (plain / "blobs").mkdir()
        (plain / "config.json").rename(plain / "blobs" / "abc")
        (plain / "config.json").symlink_to(Path("blobs") / "abc")
        (tmp_path / "link").symlink_to(plain)
        push_folder(tmp_path / "link", REPO)
        assert hub.files(REPO)["config.json"] == (plain / "blobs" / "abc").read_bytes()

    def test_nor_is_one_out_of_a_checkpoint(self, hub, saved, tmp_path):
        (saved / "checkpoint-8").rename(tmp_path / "elsewhere")
        (saved / "checkpoint-8").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(ValueError, match=r"checkpoint-8.* is a link out of the folder"):
            push_folder(saved, REPO, include_training_state=True)
        assert hub.requests == []

    def test_what_is_no_classifier(self, hub, saved, tmp_path):
        with pytest.raises(ValueError, match=r"empty holds no classifier \(no config.json\)"):
            push_folder(tmp_path / "empty", REPO)
        with pytest.raises(ValueError, match="checkpoint-8 is a checkpoint of a run"):
            push_folder(saved / "checkpoint-8", REPO)
        (saved / "adapter_config.json").write_text("{}")
        with pytest.raises(ValueError, match="holds both a classifier and an adapter"):
            push_folder(saved, REPO)
        (saved / "adapter_config.json").unlink()
        (saved / "model.safetensors").unlink()
        with pytest.raises(ValueError, match="holds neither a classifier nor an adapter"):
            push_folder(saved, REPO)
        assert hub.requests == []

    def test_no_file_tells_a_folder_of_another_machine(self, hub, saved):
        path = saved / "checkpoint-8" / "config.json"
        settings = json.loads(path.read_text())
        settings["_name_or_path"] = settings["text_config"]["_name_or_path"] = "/home/alice/clients/acme/encoder"
        path.write_text(json.dumps(settings))
        push_folder(saved, REPO, include_training_state=True)
        sent = json.loads(hub.files(REPO)["training_state/config.json"])
        assert (sent["_name_or_path"], sent["text_config"]["_name_or_path"]) == (None, None)

    def test_of_code_there_are_the_modules_of_the_auto_map_and_what_they_import(self, hub, plain):
        for name, own in (
            ("config.json", {"AutoConfig": "settings_own.Own", "AutoModel": "anna/other--modeling_other.Other"}),
            ("tokenizer_config.json", {"AutoTokenizer": ["tokens_own.Own", None]}),
        ):
            settings = json.loads((plain / name).read_text())
            (plain / name).write_text(json.dumps(settings | {"auto_map": own}))
        (plain / "settings_own.py").write_text("from .layers_own import Layer\n")
        for name in ("layers_own", "tokens_own", "my_private_notes", "modeling_other"):
            (plain / f"{name}.py").write_text("")
        push_folder(plain, REPO)
        code = {name for name in published(hub) if name.endswith(".py")}
        assert code == {"settings_own.py", "layers_own.py", "tokens_own.py"}

    def test_a_training_state_without_a_checkpoint(self, hub, make_trainer):
        trainer = make_trainer()
        trainer.save_model()
        with pytest.raises(ValueError, match="holds no whole checkpoint"):
            push_folder(trainer.args.output_dir, REPO, include_training_state=True)


class TestModel:
    """A model without a trainer."""

    def test_the_classifier_inside_is_published(self, hub, bert, tokenizer, tmp_path, logits):
        model = LCLForSequenceClassification.from_native(bert)
        model.push_to_hub(REPO, tokenizer=tokenizer)
        assert published(hub) == PUBLISHED
        again = AutoModelForSequenceClassification.from_pretrained(write(tmp_path / "pulled", hub))
        assert torch.equal(logits(again), logits(model))

    def test_the_card_names_the_classes_and_nothing_that_a_name_could_be_taken_for(self, hub, bert):
        names = ["<script>", "<!-- hf_lcl:end labels -->", "[a](https://evil.example)", "a|b\n---\n# c"]
        bert.config.id2label = dict(enumerate(names))
        LCLForSequenceClassification.from_native(bert).push_to_hub(REPO, tags=["mine"])
        card = ModelCard(hub.files(REPO)["README.md"].decode())
        assert {"hf_lcl", "mine"} <= set(card.data.tags)
        parts = {part["name"]: part["content"] for part in PART.finditer(card.text)}
        assert set(parts) == {"summary", "labels", "limits"}
        reader = MarkdownIt("commonmark", {"html": True}).enable("table")
        cells = [block for block in reader.parse(parts["labels"]) if block.type == "inline"][3:]
        assert all(part.type == "text" for cell in cells for part in cell.children)
        seen = ["".join(part.content for part in cell.children) for cell in cells]
        assert seen == ["0", names[0], "1", names[1], "2", names[2], "3", "a|b --- # c"]

    def test_no_file_tells_the_folder_that_it_came_from(self, hub, encoder_folder, tmp_path):
        model = LCLForSequenceClassification.from_encoder(encoder_folder, num_labels=4, weighting="encoder")
        tokenizer = AutoTokenizer.from_pretrained(encoder_folder)
        model.push_to_hub(REPO, tokenizer=tokenizer, include_training_state=True)
        assert published(hub) > PUBLISHED
        for name, content in hub.files(REPO).items():
            assert str(tmp_path).encode() not in content, name

    def test_with_its_training_state_as_a_pull_request(self, hub, bert):
        push_model(LCLForSequenceClassification.from_native(bert), REPO)
        model = LCLForSequenceClassification.from_native(bert, weighting="encoder")
        commit = push_model(model, REPO, include_training_state=True, create_pr=True)
        assert commit.pr_url.endswith("/discussions/1")
        assert len(hub.commits(REPO)) == 1
        state = load_weights(hub.files(REPO, "refs/pr/1")["training_state/model.safetensors"])
        assert set(state) == set(model.state_dict())


class TestCard:
    """Manual edits of a card are kept."""

    def test_one_written_by_hand_on_the_hub_stays(self, hub, make_trainer):
        trainer = make_trainer(hub_model_id=REPO)
        trainer.push_to_hub()
        hub.write(REPO, "README.md", "# My words")
        trainer.model.native.classifier.bias.data += 1
        trainer.push_to_hub()
        assert hub.files(REPO)["README.md"] == b"# My words"
        assert hub.commits(REPO) == ["End of training", "Update README.md", "End of training"]

    def test_one_written_by_hand_here_replaces_it(self, hub, saved):
        push_folder(saved, REPO)
        hub.write(REPO, "README.md", "# My words")
        (saved / "README.md").write_text("# My other words")
        push_folder(saved, REPO)
        assert hub.files(REPO)["README.md"] == b"# My other words"

    def test_broken_metadata_here_is_one_line_and_nothing_is_sent(self, hub, plain):
        (plain / "README.md").write_text("---\ntags: [a, b\n---\n# My words")
        with pytest.raises(ValueError, match=r"^The metadata of README.md, line 2 is broken .*$"):
            push_folder(plain, REPO)
        assert REPO not in hub.repos

    def test_broken_metadata_on_the_hub_is_one_line_and_stays(self, hub, saved):
        push_folder(saved, REPO)
        hub.write(REPO, "README.md", "---\nlicense: mit\ntags: [a, b\n---\n# My words")
        (saved / "README.md").write_text((saved / "README.md").read_text() + "\nMore.")
        with pytest.raises(
            PushError, match=r"^.*The metadata of README.md on the Hub, line 3 is broken .*$"
        ) as caught:
            push_folder(saved, REPO)
        assert "\n" not in str(caught.value)
        assert b"[a, b" in hub.files(REPO)["README.md"]

    def test_a_model_without_a_trainer_keeps_it(self, hub, saved, bert):
        push_folder(saved, REPO)
        hub.write(REPO, "README.md", "# My words")
        push_model(LCLForSequenceClassification.from_native(bert), REPO)
        assert hub.files(REPO)["README.md"] == b"# My words"


class TestTheCommand:
    """`python -m hf_lcl push`."""

    def test_it_publishes_what_the_function_does(self, hub, saved, capsys):
        main(["push", str(saved), REPO])
        assert published(hub) == PUBLISHED
        assert capsys.readouterr().out.strip().endswith(REPO)

    def test_the_line_that_tries_again_is_a_command_that_does(self, hub, saved):
        saved = saved.rename(saved.with_name("my model"))
        command = retry_hint(saved, REPO, revision="beta", include_training_state=True)
        main(shlex.split(command.split("hf-lcl ")[1]))
        assert published(hub, revision="beta") > PUBLISHED

    def test_a_folder_without_a_classifier_ends_in_one_line(self, hub, tmp_path):
        with pytest.raises(SystemExit, match=r"^error: .*") as ended:
            main(["push", str(tmp_path), REPO])
        assert "\n" not in str(ended.value)


def test_the_example_of_the_docstring_runs(hub, saved, monkeypatch):
    saved.rename(saved.parent / "out")
    monkeypatch.chdir(saved.parent)
    example = examples()["hf_lcl.hub.push.push_folder"]
    for line in example.examples:
        line.source = line.source.replace("me/", "anna/")
    run(example, {})
    assert hub.commits("anna/my-classifier") == ["Upload classifier"]
