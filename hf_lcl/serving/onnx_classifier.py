"""A classifier that `export` wrote, run by ONNX Runtime: without torch, which takes seconds and memory to import."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Encoding, Tokenizer
from tqdm.auto import tqdm

from ..data.lengths import TOKENS_AT_ONCE, batches_by_length, warn_of_cut_texts
from ..support.extras import load_extra
from ..support.files import GRAPH, read_json


# Possible inputs of a graph, and their attributes in an `Encoding` of `tokenizers`.
FEATURES = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}


class OnnxClassifier:
    """
    A classifier in a folder with `model.onnx`, `config.json` and `tokenizer.json`, as `hf-lcl export` writes it.
    `graph` replaces `model.onnx`, with the same tokenizer and configuration.

    Raises:
        ImportError: if onnxruntime is not installed.
        ValueError: if a file is missing or the graph is truncated.

    Example:

    ```python
    >>> from pathlib import Path
    >>> from hf_lcl.serving.onnx_classifier import OnnxClassifier

    >>> classifier = OnnxClassifier(Path("out-onnx"))
    >>> logits = classifier.logits(["I got the job!", "Late again."])  # (2, num_labels), float32
    >>> classes = [classifier.config["id2label"][str(index)] for index in logits.argmax(axis=1)]
    ```
    """

    def __init__(self, folder: Path, graph: Path | None = None):
        onnxruntime: Any = load_extra("onnxruntime", "onnx")
        graph = graph or folder / GRAPH
        for path in (graph, *(folder / f"{name}.json" for name in ("config", "tokenizer", "tokenizer_config"))):
            if not path.is_file():
                raise ValueError(f"{folder} has no {path.name}: write it by `hf-lcl export OUT {folder}`.")
        self.config: dict[str, Any] = read_json(folder / "config.json")
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        settings = read_json(folder / "tokenizer_config.json")
        self.max_length = int(settings.get("model_max_length", 10**30))
        self.padding_side = settings.get("padding_side", "right")
        self.truncation_side = settings.get("truncation_side", "right")
        pad = settings.get("pad_token") or ""
        self.pad_id = self.tokenizer.token_to_id(pad["content"] if isinstance(pad, dict) else pad) or 0
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # its warnings are about the machine
        options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", 0))  # as for torch; torchrun sets it
        try:
            self.session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime exports no error classes
            raise ValueError(f"{graph} is cut or no graph ({error}): export it again.") from error
        self.inputs = [node.name for node in self.session.get_inputs()]

    @property
    def has_several_labels(self) -> bool:
        """Whether a text may have several labels."""
        return self.config.get("problem_type") == "multi_label_classification"

    @property
    def names(self) -> list[str]:
        """Names of the classes, by id."""
        names = self.config["id2label"]
        return [names[index] for index in sorted(names, key=int)]

    def logits(
        self,
        texts: Sequence[str | tuple[str, str]],
        *,
        max_length: int | None = None,
        batch_size: int = 32,
        progress: tqdm | None = None,
    ) -> np.ndarray:
        """
        The logits `(texts, num_labels)` of at least one text or pair of texts, in fp32 and in the order of the texts.
        Longer texts are truncated to `max_length` tokens, by default the tokenizer's limit. A batch has `batch_size`
        texts, or fewer if they are long. `progress` is a progress bar to update.
        """
        encodings = self.encode(texts, max_length)
        lengths = np.array([len(encoding) for encoding in encodings])
        found: list[np.ndarray] = [np.empty(0)] * len(texts)
        for picked in batches_by_length(lengths, batch_size, TOKENS_AT_ONCE):
            (rows,) = self.session.run(["logits"], self._padded([encodings[index] for index in picked]))
            for index, row in zip(picked, rows):
                found[index] = row
            if progress is not None:
                progress.update(len(picked))
        return np.stack(found)

    def encode(self, texts: Sequence[str | tuple[str, str]], max_length: int | None = None) -> list[Encoding]:
        """Tokens of texts, truncated to `max_length` and to the limit in the tokenizer's configuration."""
        limit = min(max_length or self.max_length, self.max_length)
        if limit < 2**31:  # transformers writes 1e30 for no limit
            self.tokenizer.enable_truncation(limit, direction=self.truncation_side)
        else:
            self.tokenizer.no_truncation()
        encodings = self.tokenizer.encode_batch(list(texts))
        warn_of_cut_texts(map(len, encodings), limit)
        return encodings

    def _padded(self, encodings: Sequence[Encoding]) -> dict[str, np.ndarray]:
        """The padded inputs of the graph for one batch."""
        width = max(map(len, encodings))
        for encoding in encodings:
            encoding.pad(width, direction=self.padding_side, pad_id=self.pad_id)
        return {name: np.array([getattr(one, FEATURES[name]) for one in encodings]) for name in self.inputs}
