"""Recurrent baselines: an RNN, GRU or LSTM with random weights and the words of the training texts, in a folder."""

from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import Any

from recurrent import RecurrentConfig, RecurrentForSequenceClassification, RecurrentModel
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, set_seed
from word_tokenizer import train_word_tokenizer


# In this process; elsewhere `trust_remote_code=True` takes the code from the folder.
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
    Writes a recurrent encoder with random weights, and a tokenizer that knows the words of `texts`.

    What is in the folder is trained like any pretrained encoder: `model=` of [`ContrastiveTrainer`],
    [`LCLForSequenceClassification.from_encoder`], `--model_name_or_path`. It needs a higher learning rate, such as
    1e-3, and more epochs.

    Args:
        kind (`str`): `"rnn"`, `"gru"` or `"lstm"`.
        texts (`Iterable[str]`): the training texts, and those alone.
        output_dir (`str` or `os.PathLike`): the folder.
        embedding_size (`int`, *optional*): see [`RecurrentConfig`], like the next four.
        hidden_size (`int`, *optional*): of both directions together.
        num_layers (`int`, *optional*): recurrent layers on top of one another.
        bidirectional (`bool`, *optional*): whether texts are read from the right as well.
        dropout (`float`, *optional*): from 0 to below 1.
        seed (`int`, *optional*, defaults to 42): of the random weights.
        **tokenizer_arguments: see [`train_word_tokenizer`].

    Returns:
        `Path`: the folder.

    Raises:
        TypeError, ValueError: as [`RecurrentConfig`] and [`train_word_tokenizer`], before anything is written.

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
