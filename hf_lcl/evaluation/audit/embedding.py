"""Embeddings of many texts, on disk."""

import tempfile
from collections.abc import Sequence
from logging import ERROR
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from tqdm.auto import tqdm
from transformers import AutoConfig, AutoTokenizer, PreTrainedTokenizerBase

from ...model import loading
from ...model.classes import class_names
from ...model.loading import transformer_folder
from ...model.modeling import LCLForSequenceClassification
from ...support.files import check_weights
from ..finished import is_adapter, load_finished
from ..inference import run_on_texts


BATCHES_AT_ONCE = 32  # batches that are sorted by length, run and written together


def on_disk(shape: tuple[int, ...], dtype: type = np.float32) -> np.ndarray:
    """A memory-mapped array in a temporary file, which is deleted together with the array."""
    with tempfile.TemporaryFile(prefix="hf_lcl_") as file:
        return np.memmap(file, dtype=dtype, mode="w+", shape=shape)


class Embedder:
    """
    Computes embeddings of texts by a finished classifier, or by an encoder (the mean of its tokens). Its `name` is a
    folder or an id on the Hub; texts are truncated to `max_length` tokens. Raises a `ValueError` if there is no model
    or no tokenizer.
    """

    def __init__(
        self, name: str | Path, *, batch_size: int = 32, max_length: int = 128, trust_remote_code: bool = False
    ):
        encoder = transformer_folder(name)
        self.batch_size, self.max_length = batch_size, max_length
        check_weights(encoder)
        self.tokenizer: PreTrainedTokenizerBase
        self.is_classifier = is_adapter(Path(name)) or _is_classifier(encoder, trust_remote_code)
        if self.is_classifier:
            self.model, self.tokenizer = load_finished(name, trust_remote_code=trust_remote_code)
        else:
            level = loading.logger.level
            loading.logger.setLevel(ERROR)  # the classifier on top is new, and not used
            try:
                model = LCLForSequenceClassification.from_encoder(
                    name, num_labels=2, pooling="mean", weighting="none", trust_remote_code=trust_remote_code
                )
            finally:
                loading.logger.setLevel(level)
            self.model = model.to(PartialState().device)
            self.tokenizer = AutoTokenizer.from_pretrained(encoder, trust_remote_code=trust_remote_code)

    def __call__(self, texts: Sequence[str], description: str = "embeddings") -> np.ndarray:
        """Embeddings of length 1, `(texts, hidden)`, in half precision in a temporary file."""
        return self.run(texts, description)[0]

    def run(self, texts: Sequence[str], description: str = "embeddings") -> tuple[np.ndarray, np.ndarray]:
        """The same, and the logits of the classifier, `(texts, num_labels)`."""
        model, step = self.model, BATCHES_AT_ONCE * self.batch_size
        embeddings = on_disk((len(texts), model.config.text_config.get_text_config().hidden_size), np.float16)
        logits = on_disk((len(texts), len(class_names(model.config))))
        with tqdm(total=len(texts), desc=description, unit=" texts") as progress:
            options: dict[str, Any] = {"max_length": self.max_length, "batch_size": self.batch_size}
            for start in range(0, len(texts), step):
                part = slice(start, start + step)
                outputs = run_on_texts(model, self.tokenizer, texts[part], progress=progress, **options)
                embeddings[part] = torch.nn.functional.normalize(torch.from_numpy(outputs.embeddings)).numpy()
                logits[part] = outputs.logits
        return embeddings, logits


def _is_classifier(name: str, trust_remote_code: bool) -> bool:
    try:
        config = AutoConfig.from_pretrained(name, trust_remote_code=trust_remote_code)
    except (OSError, ValueError) as error:
        raise ValueError(f"No model can be loaded from {name}: {error}") from error
    return any("ForSequenceClassification" in kind for kind in config.architectures or ())
