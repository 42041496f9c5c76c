"""What the commands are given, and what they are measured by."""

from collections.abc import Callable

import pytest
from transformers import BertForSequenceClassification

from hf_lcl.__main__ import main


@pytest.fixture
def reader(plain, tokenizer) -> Callable[[str], list[float]]:
    """The probabilities of a text, by transformers alone."""
    model = BertForSequenceClassification.from_pretrained(plain).eval()
    return lambda text: model(**tokenizer([text], return_tensors="pt")).logits.softmax(dim=1)[0].tolist()


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
