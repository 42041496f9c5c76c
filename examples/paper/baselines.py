"""Recurrent baselines: writes an RNN, GRU or LSTM with random weights and a word tokenizer to a folder."""

from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import Any

from recurrent import RecurrentConfig, RecurrentForSequenceClassification, RecurrentModel
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, set_seed
from word_tokenizer import train_word_tokenizer


# For this process; others load the code from the saved folder with `trust_remote_code=True`.
AutoConfig.register(RecurrentConfig.model_type, RecurrentConfig, exist_ok=True)
AutoModel.register(RecurrentConfig, RecurrentModel, exist_ok=True)
AutoModelForSequenceClassification.register(RecurrentConfig, RecurrentForSequenceClassification, exist_ok=True)


def build_baseline(
    kind: str,
    texts: Iterable[str],
    output_dir: str | PathLike,
    *,
    embedding_size: int = RecurrentConfig.embedding_size,
    hidden_size: int = RecurrentConfig.hidden_size,
    num_layers: int = RecurrentConfig.num_layers,
    bidirectional: bool = RecurrentConfig.bidirectional,
    dropout: float = RecurrentConfig.dropout,
    seed: int = 42,
    **tokenizer_arguments: Any,
) -> Path:
    """
    Writes a recurrent encoder with random weights, and a tokenizer whose vocabulary is the words of `texts`.

    The folder is used like any pretrained encoder: as `model=` of [`ContrastiveTrainer`], in
    [`LCLForSequenceClassification.from_encoder`], or as `--model_name_or_path`. Training it needs a higher learning
    rate, such as 1e-3, and more epochs.

    Args:
        kind (`str`): `"rnn"`, `"gru"` or `"lstm"`.
        texts (`Iterable[str]`): the training texts, without validation and test texts.
        output_dir (`str` or `os.PathLike`): the folder.
        embedding_size (`int`, *optional*): see [`RecurrentConfig`], like the next four.
        hidden_size (`int`, *optional*): width of the hidden state, both directions together.
        num_layers (`int`, *optional*): number of stacked recurrent layers.
        bidirectional (`bool`, *optional*): whether to read texts from right to left as well.
        dropout (`float`, *optional*): dropout rate, from 0 to below 1.
        seed (`int`, *optional*, defaults to 42): seed of the random weights.
        **tokenizer_arguments: see [`train_word_tokenizer`].

    Returns:
        `Path`: the folder.

    Raises:
        TypeError, ValueError: when [`RecurrentConfig`] or [`train_word_tokenizer`] does; nothing is written then.

    Example:

    ```python
    >>> from hf_lcl import LCLForSequenceClassification
    >>> from baselines import build_baseline

    >>> folder = build_baseline("gru", splits["train"]["text"], "baselines/gru", hidden_size=128)
    >>> model = LCLForSequenceClassification.from_encoder(folder, num_labels=12)
    ```
    """
    config = RecurrentConfig(
        kind=kind,
        embedding_size=embedding_size,
        hidden_size=hidden_size,
        num_layers=num_layers,
        bidirectional=bidirectional,
        dropout=dropout,
    )
    tokenizer = train_word_tokenizer(texts, **tokenizer_arguments)
    config.vocab_size, config.pad_token_id = len(tokenizer), tokenizer.pad_token_id
    set_seed(seed)
    RecurrentModel(config).save_pretrained(output_dir)
    tokenizer.save_pretrained(output_dir)
    return Path(output_dir)
