"""The script as a module, and data for it and for others."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import SCRIPT


@pytest.fixture(scope="session")
def run() -> Callable[[list[str]], None]:
    """`main` of `examples/run_classification.py`."""
    spec = importlib.util.spec_from_file_location("run_classification", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


@pytest.fixture(autouse=True)
def without_pictures(monkeypatch):
    """As where the extra `plots` is not installed: these runs are many; the tests of `train` look at the pictures."""
    monkeypatch.setattr("hf_lcl.commands.job.find_spec", lambda package: None)


@pytest.fixture
def flags(files, encoder_folder, tmp_path) -> dict[str, str]:
    """Flags of a complete run, by name."""
    return {
        "model_name_or_path": str(encoder_folder),
        **{f"{name}_file": path for name, path in files.items()},
        "output_dir": str(tmp_path / "out"),
        "do_train": "true",
        "do_eval": "true",
        "do_predict": "true",
        "num_train_epochs": "2",
        "per_device_train_batch_size": "16",
        "use_cpu": "true",
        "disable_tqdm": "true",
        "save_strategy": "no",
    }


# Of the texts that all tests share, what emoint calls their classes.
EMOINT_NAMES = {"angry": "anger", "annoyed": "fear", "glad": "joy", "proud": "sadness"}


@pytest.fixture
def make_data_dir(make_texts, tmp_path) -> Callable[..., Path]:
    """Texts in the layout of a recipe, emoint: by split, so many of each class."""

    def make(**rows_per_class: int) -> Path:
        (tmp_path / "data" / "emoint").mkdir(parents=True)
        for seed, (split, rows) in enumerate(rows_per_class.items()):
            texts = make_texts(rows, seed).map(lambda row: {"label": EMOINT_NAMES[row["label"]]})
            texts.to_json(tmp_path / "data" / "emoint" / f"{split}.jsonl")
        return tmp_path / "data"

    return make


@pytest.fixture
def data_dir(make_data_dir) -> Path:
    """A few of them."""
    return make_data_dir(train=12, validation=3, test=15)
