"""Runs a finished classifier over texts: logits, embeddings and, where it has a weighting network, its logits."""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from datasets import Dataset
from torch import nn
from tqdm.auto import tqdm
from transformers import BatchEncoding, DataCollatorWithPadding, PreTrainedTokenizerBase

from ..data.lengths import TOKENS_AT_ONCE, batches_by_length, token_counts, warn_of_cut_texts
from ..model.modeling import LCLForSequenceClassification, native_inputs


@dataclass(frozen=True)
class ModelOutputs:
    """One row per text, in the order of the texts; see [`LCLOutput`]."""

    logits: np.ndarray
    embeddings: np.ndarray
    weighting_logits: np.ndarray | None = None


@torch.inference_mode()
def run_model(
    model: LCLForSequenceClassification,
    dataset: Dataset,
    tokenizer: PreTrainedTokenizerBase,
    *,
    batch_size: int = 32,
    description: str = "texts",
    progress: tqdm | None = None,
) -> ModelOutputs:
    """
    Runs a model over at least one tokenised text, sorted by length; wrap a plain classifier with
    [`~LCLForSequenceClassification.from_native`] first. The tokenizer pads the batches; on a CPU, batches of long
    texts are smaller than `batch_size`. A given `progress` bar is updated instead of a new one with a `description`.

    Returns the outputs on the CPU, in fp32. Raises a `ValueError` for a token id outside the model's vocabulary, which
    shows that the tokenizer is another model's.
    """
    model.eval()
    known_ids = len(cast(nn.Embedding, model.get_input_embeddings()).weight)
    accepted = native_inputs(model.native)
    columns = [name for name in tokenizer.model_input_names if name in dataset.column_names and name in accepted]
    rows = dataset.select_columns(columns).with_format(None)
    collate = DataCollatorWithPadding(tokenizer)
    parts: dict[str, list[np.ndarray]] = defaultdict(list)
    own_bar = tqdm(total=len(dataset), desc=description, unit=" texts") if progress is None else nullcontext(progress)
    order: list[int] = []
    max_tokens = TOKENS_AT_ONCE if model.device.type == "cpu" else None
    with own_bar as bar:
        for picked in batches_by_length(token_counts(dataset), batch_size, max_tokens):
            order.extend(picked)
            batch = BatchEncoding(collate(rows[picked]))
            if (largest := int(batch["input_ids"].max())) >= known_ids:
                raise ValueError(
                    f"The tokenizer gives a text the token id {largest}, but the model's embedding has {known_ids:,} "
                    "rows: use the model's own tokenizer, or model.resize_token_embeddings(len(tokenizer))."
                )
            output = model(**batch.to(model.device))
            for name in ("logits", "embeddings", "weighting_logits"):
                if name in output:
                    parts[name].append(output[name].float().cpu().numpy())
            bar.update(len(picked))
    back = np.argsort(order)
    return ModelOutputs(**{name: np.concatenate(batches)[back] for name, batches in parts.items()})


def run_on_texts(
    model: LCLForSequenceClassification,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str | tuple[str, str]],
    *,
    max_length: int | None = None,
    **options: Any,
) -> ModelOutputs:
    """
    Tokenises texts, or pairs of texts, and runs a model over them. They are truncated to `max_length` tokens, or to
    the tokenizer's limit if that is lower. For the other arguments see [`run_model`].
    """
    columns = [list(column) for column in zip(*texts)] if isinstance(texts[0], tuple) else [list(texts)]
    limit = min(max_length or tokenizer.model_max_length, tokenizer.model_max_length)
    encoded = tokenizer(*columns, truncation=True, max_length=limit)
    warn_of_cut_texts(map(len, encoded["input_ids"]), limit)
    return run_model(model, Dataset.from_dict(dict(encoded)), tokenizer, **options)
