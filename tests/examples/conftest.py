"""The script as a module, and files for it."""

import importlib.util
import json
import random
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
    monkeypatch.setattr("hf_lcl.job.find_spec", lambda package: None)


@pytest.fixture
def files(raw_splits, tmp_path) -> dict[str, str]:
    """Split name to a jsonl file."""
    paths = {name: str(tmp_path / f"{name}.jsonl") for name in raw_splits}
    for name, path in paths.items():
        raw_splits[name].to_json(path)
    return paths


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


EMOINT_WORDS = {
    "anger": ["furious", "rage", "shouting", "slammed"],
    "fear": ["late", "queue", "sigh", "again"],
    "joy": ["sunny", "laughing", "party", "cake"],
    "sadness": ["medal", "won", "graduated", "applause"],
}
FILLERS = ["the", "a", "my", "neighbour", "today", "was", "at", "work", "and", "home", "with", "friend"]


@pytest.fixture
def data_dir(tmp_path) -> Path:
    """Made-up texts with the names and the layout of a recipe, emoint: 12, 3 and 15 of each class."""
    folder, rng = tmp_path / "data" / "emoint", random.Random(0)
    folder.mkdir(parents=True)
    for split, rows_per_class in (("train", 12), ("validation", 3), ("test", 15)):
        rows = []
        for label, words in EMOINT_WORDS.items():
            for _ in range(rows_per_class):
                text = rng.choices(FILLERS, k=rng.randint(2, 8)) + rng.choices(words, k=2)
                rng.shuffle(text)
                rows.append(json.dumps({"text": " ".join(text), "label": label}))
        rng.shuffle(rows)
        (folder / f"{split}.jsonl").write_text("\n".join(rows) + "\n")
    return tmp_path / "data"
