"""A finished classifier that nobody has trained, files for it, and the commands."""

from collections.abc import Callable
from pathlib import Path

import pytest
from transformers import BertForSequenceClassification

from hf_lcl.__main__ import main


NAMES = ["angry", "annoyed", "glad", "proud"]


@pytest.fixture
def plain(bert, tokenizer, tmp_path) -> Path:
    """A plain classifier of transformers and its tokenizer."""
    bert.config.id2label = dict(enumerate(NAMES))
    bert.config.label2id = {name: index for index, name in enumerate(NAMES)}
    bert.save_pretrained(tmp_path / "plain")
    tokenizer.save_pretrained(tmp_path / "plain")
    return tmp_path / "plain"


@pytest.fixture
def reader(plain, tokenizer) -> Callable[[str], list[float]]:
    """The probabilities of a text, by transformers alone."""
    model = BertForSequenceClassification.from_pretrained(plain).eval()
    return lambda text: model(**tokenizer([text], return_tensors="pt")).logits.softmax(dim=1)[0].tolist()


@pytest.fixture
def files(raw_splits, tmp_path) -> dict[str, str]:
    """Split name to a jsonl file."""
    paths = {name: str(tmp_path / f"{name}.jsonl") for name in raw_splits}
    for name, path in paths.items():
        raw_splits[name].to_json(path)
    return paths


@pytest.fixture
def training_flags(files, encoder_folder, tmp_path) -> list[str]:
    """Flags of a short run of `train` or `compare`, but for what is to be done."""
    flags = {
        "model_name_or_path": str(encoder_folder),
        **{f"{name}_file": path for name, path in files.items()},
        "output_dir": str(tmp_path / "out"),
        "max_steps": "3",
        "per_device_train_batch_size": "16",
        "learning_rate": "1e-3",
        "use_cpu": "true",
        "disable_tqdm": "true",
        "save_strategy": "no",
    }
    return [f"--{name}={value}" for name, value in flags.items()]


@pytest.fixture
def fails() -> Callable[[list[str]], str]:
    """The one line with which a command ends."""

    def fails(argv: list[str]) -> str:
        with pytest.raises(SystemExit) as stopped:
            main(argv)
        message = str(stopped.value.code)
        assert message.startswith("error: ")
        assert "\n" not in message
        return message

    return fails
