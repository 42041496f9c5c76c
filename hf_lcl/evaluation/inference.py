"""What a finished classifier says of every text: logits, embedding and, where there is one, weighting logits."""

import inspect
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc
import torch
from datasets import Dataset
from tqdm.auto import tqdm
from transformers import BatchEncoding, DataCollatorWithPadding, PreTrainedTokenizerBase

from ..data.lengths import token_counts
from ..model.modeling import LCLForSequenceClassification


@dataclass(frozen=True)
class ModelOutputs:
    """
    One row per text, in the order of the texts.

    Args:
        logits (`np.ndarray` of shape `(rows, num_labels)`): the classifier's, before the softmax.
        embeddings (`np.ndarray` of shape `(rows, hidden)`): pooled, not normalised.
        weighting_logits (`np.ndarray` of shape `(rows, num_labels)`, *optional*): the weighting network's.
    """

    logits: np.ndarray
    embeddings: np.ndarray
    weighting_logits: np.ndarray | None


def check_token_ids(dataset: Dataset, model: LCLForSequenceClassification) -> None:
    """
    Raises a `ValueError` where a token id is beyond the embedding of a model: its tokenizer is that of another.

    Args:
        dataset (`datasets.Dataset`): rows with `input_ids`.
        model ([`LCLForSequenceClassification`]): whose embedding is looked at.
    """
    size = model.get_input_embeddings().weight.shape[0]
    for batch in dataset.select_columns("input_ids").with_format("arrow").iter(10_000):
        largest = pc.max(pc.list_flatten(batch["input_ids"])).as_py()
        if largest is not None and largest >= size:
            raise ValueError(
                f"The tokenizer gives a text the token id {largest}, but the model's embedding has {size:,} rows: "
                "use the model's own tokenizer, or model.resize_token_embeddings(len(tokenizer))."
            )


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
    Runs a model over tokenised texts, texts of like length together.

    Args:
        model ([`LCLForSequenceClassification`]): a plain classifier is wrapped by
            [`~LCLForSequenceClassification.from_native`] first.
        dataset (`datasets.Dataset`): rows as from [`tokenize_texts`].
        tokenizer (`PreTrainedTokenizerBase`): pads the batches.
        batch_size (`int`, *optional*, defaults to 32): texts per batch.
        description (`str`, *optional*): stands before the progress bar.
        progress (`tqdm`, *optional*): a bar of several calls, which counts the texts of this one too.

    Returns:
        [`ModelOutputs`]: on the CPU, in fp32.
    """
    check_token_ids(dataset, model)
    model.eval()
    taken = inspect.signature(model.native.forward).parameters
    columns = [name for name in tokenizer.model_input_names if name in dataset.column_names and name in taken]
    rows = dataset.select_columns(columns).with_format(None)
    order = np.argsort(-token_counts(dataset), kind="stable")  # longest first: memory runs out at once, or never
    collate = DataCollatorWithPadding(tokenizer)
    batches = []
    own_bar = tqdm(total=len(order), desc=description, unit=" texts") if progress is None else nullcontext(progress)
    with own_bar as bar:
        for start in range(0, len(order), batch_size):
            picked = order[start : start + batch_size]
            inputs = BatchEncoding(collate(rows[picked])).to(model.device)
            output = model(**inputs)
            batches.append([output.logits, output.embeddings, output.weighting_logits])
            batches[-1] = [None if part is None else part.float().cpu().numpy() for part in batches[-1]]
            bar.update(len(picked))
    back = np.argsort(order)
    logits, embeddings, weighting_logits = zip(*batches)
    has_weighting = weighting_logits[0] is not None
    return ModelOutputs(
        np.concatenate(logits)[back],
        np.concatenate(embeddings)[back],
        np.concatenate(weighting_logits)[back] if has_weighting else None,
    )
