"""
A recurrent text encoder and its classifier, as transformers models.

transformers has no such architecture, so this file is saved with each model. It therefore imports only torch and
transformers.
"""

from os import PathLike
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from transformers import PreTrainedConfig, PreTrainedModel
from transformers import initialization as init
from transformers.dynamic_module_utils import custom_object_save
from transformers.modeling_outputs import BaseModelOutput, SequenceClassifierOutput
from transformers.utils import can_return_tuple


CELLS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
# Bytes; the alignment of tensors that torch allocates.
ALIGNMENT = 64
AUTO_MAP = {
    "AutoConfig": "recurrent.RecurrentConfig",
    "AutoModel": "recurrent.RecurrentModel",
    "AutoModelForSequenceClassification": "recurrent.RecurrentForSequenceClassification",
}


class RecurrentConfig(PreTrainedConfig):
    r"""
    Configuration of a [`RecurrentModel`].

    Args:
        kind (`str`, *optional*, defaults to `"gru"`): the cell: `"rnn"` (Elman, tanh), `"gru"` or `"lstm"`.
        vocab_size (`int`, *optional*, defaults to 30000): number of words, special tokens included.
        embedding_size (`int`, *optional*, defaults to 300): width of the word embeddings.
        hidden_size (`int`, *optional*, defaults to 256): width of the last hidden state. With `bidirectional` it is
            that of both directions together: each gets half of it.
        num_layers (`int`, *optional*, defaults to 1): number of stacked recurrent layers.
        bidirectional (`bool`, *optional*, defaults to `False`): whether to read texts from right to left as well.
        dropout (`float`, *optional*, defaults to 0.1): dropout rate on the word embeddings, between layers, and before
            the classifier.
        initializer_range (`float`, *optional*, defaults to 0.1): standard deviation of new word embeddings and of a
            new classifier.
        pad_token_id (`int`, *optional*, defaults to 0): id of the padding token, which is skipped.
        **kwargs: passed on to `PreTrainedConfig`.

    Raises:
        ValueError: if `kind` is none of the three, a size is below 1, `hidden_size` is odd with `bidirectional`, or
            `dropout` is outside [0, 1).

    Example:

    ```python
    >>> from recurrent import RecurrentConfig

    >>> RecurrentConfig(kind="lstm", hidden_size=512, bidirectional=True).hidden_size
    512
    ```
    """

    model_type = "recurrent"
    attribute_map: ClassVar[dict[str, str]] = {"num_hidden_layers": "num_layers"}

    kind: str = "gru"
    vocab_size: int = 30_000
    embedding_size: int = 300
    hidden_size: int = 256
    num_layers: int = 1
    bidirectional: bool = False
    dropout: float = 0.1
    initializer_range: float = 0.1
    pad_token_id: int = 0

    def __post_init__(self, **kwargs):
        if self.kind not in CELLS:
            raise ValueError(f"kind={self.kind!r} is unknown: use one of {', '.join(map(repr, CELLS))}.")
        for name in ("vocab_size", "embedding_size", "hidden_size", "num_layers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} is too small: use at least 1.")
        if self.bidirectional and self.hidden_size % 2:
            raise ValueError(f"hidden_size={self.hidden_size} cannot be shared by two directions: use an even number.")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout={self.dropout} is no share to leave out: use a number from 0 to below 1.")
        super().__post_init__(**kwargs)


class RecurrentPreTrainedModel(PreTrainedModel):
    """Base class of encoder and classifier: initialises weights, and saves this file with the model."""

    config_class = RecurrentConfig
    base_model_prefix = "model"
    main_input_name = "input_ids"
    supports_gradient_checkpointing = False
    _no_split_modules: ClassVar[list[str]] = []

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Embedding | nn.Linear):
            init.normal_(module.weight, std=self.config.initializer_range)
            if isinstance(module, nn.Linear):
                init.zeros_(module.bias)
        elif isinstance(module, nn.RNNBase):
            for name, parameter in module.named_parameters():
                if name.startswith("weight_ih"):
                    init.xavier_uniform_(parameter)
                elif name.startswith("weight_hh"):
                    # One orthogonal matrix per gate, so that states neither vanish nor explode over many steps.
                    size = (module.hidden_size, module.hidden_size)
                    gates = [torch.empty(size, device=parameter.device) for _ in range(len(parameter) // size[0])]
                    init.copy_(parameter, torch.cat([nn.init.orthogonal_(gate) for gate in gates]))
                else:
                    init.zeros_(parameter)

    def _align(self) -> None:
        """Copies unaligned CPU weights, such as those mapped from a file: their matrix products round differently."""
        for parameter in self.parameters():
            if parameter.device.type == "cpu" and parameter.data_ptr() % ALIGNMENT:
                parameter.data = parameter.data.clone()

    def save_pretrained(self, save_directory: str | PathLike, **kwargs: Any) -> None:
        """
        Saves the model with this file, so that `trust_remote_code=True` loads the folder without hf_lcl.

        Args:
            save_directory (`str` or `os.PathLike`): the folder.
            **kwargs: as in `PreTrainedModel.save_pretrained`.
        """
        self.config.auto_map = dict(AUTO_MAP)
        super().save_pretrained(save_directory, **kwargs)
        if kwargs.get("is_main_process", True):
            custom_object_save(self, save_directory)


class RecurrentModel(RecurrentPreTrainedModel):
    r"""
    Word embeddings and an RNN, GRU or LSTM over them.

    Padding is skipped on either side and in any amount. At step t each direction has read t + 1 words, one from the
    left, the other from the right, and their states are concatenated. A skipped position repeats the state before it,
    so that the last position of each row holds the final state of both directions (zeros for a text without words).

    Args:
        config ([`RecurrentConfig`]): kind and sizes.

    Example:

    ```python
    >>> import torch
    >>> from recurrent import RecurrentConfig, RecurrentModel

    >>> model = RecurrentModel(RecurrentConfig(vocab_size=100, hidden_size=64)).eval()
    >>> states = model(input_ids=torch.tensor([[7, 8, 9], [5, 0, 0]])).last_hidden_state
    >>> states.shape
    torch.Size([2, 3, 64])
    >>> torch.equal(states[1, 0], states[1, 2])  # nothing was read after the first word
    True
    ```
    """

    def __init__(self, config: RecurrentConfig):
        super().__init__(config)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.embedding_size)
        self.dropout = nn.Dropout(config.dropout)
        self.rnn = CELLS[config.kind](
            config.embedding_size,
            config.hidden_size // (2 if config.bidirectional else 1),
            num_layers=config.num_layers,
            bidirectional=config.bidirectional,
            dropout=config.dropout if config.num_layers > 1 else 0.0,
            batch_first=True,
        )
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
    ) -> BaseModelOutput:
        """
        Encodes a batch of texts.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, sequence)`, *optional*): token ids; `pad_token_id` is
                skipped regardless of the mask.
            attention_mask (`torch.Tensor` of shape `(batch, sequence)`, *optional*): 0 at positions to skip.
            inputs_embeds (`torch.FloatTensor` of shape `(batch, sequence, embedding_size)`, *optional*): word
                embeddings, instead of `input_ids`.

        Returns:
            `BaseModelOutput`: with `last_hidden_state` of shape `(batch, sequence, hidden_size)`.

        Raises:
            ValueError: if both or neither of `input_ids` and `inputs_embeds` are given.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("Give either input_ids or inputs_embeds.")
        self._align()
        if input_ids is None:
            is_read = torch.ones(inputs_embeds.shape[:2], dtype=torch.bool, device=inputs_embeds.device)
        else:
            if input_ids.shape[1] == 0:
                # A batch of texts without any word; the tensor may then be of floats, torch's default.
                input_ids = torch.full((len(input_ids), 1), self.config.pad_token_id, device=input_ids.device)
                attention_mask = None
            is_read = input_ids != self.config.pad_token_id
            inputs_embeds = self.embed_tokens(input_ids)
        if attention_mask is not None:
            is_read = is_read & attention_mask.bool()
        return BaseModelOutput(last_hidden_state=self._read(self.dropout(inputs_embeds), is_read))

    def _read(self, inputs: Tensor, is_read: Tensor) -> Tensor:
        """Hidden states `(batch, sequence, hidden_size)`, for which only the `inputs` at `is_read` are read."""
        lengths = is_read.sum(dim=1)
        to_the_front = is_read.int().argsort(dim=1, descending=True, stable=True)
        packed = pack_padded_sequence(
            _pick(inputs, to_the_front),
            lengths.clamp(min=1).cpu(),  # torch needs at least one; states of texts without words are masked below
            batch_first=True,
            enforce_sorted=False,
        )
        states, _ = pad_packed_sequence(self.rnn(packed)[0], batch_first=True)
        steps = is_read.cumsum(dim=1) - 1
        first, last = steps.clamp(min=0), (lengths - 1).clamp(min=0).unsqueeze(1)
        if self.config.bidirectional:
            left, right = states.chunk(2, dim=-1)
            # torch orders the states of both directions by word, not by step.
            states = torch.cat([_pick(left, first), _pick(right, last - first)], dim=-1)
        else:
            states = _pick(states, first)
        return states.masked_fill((steps < 0).unsqueeze(-1), 0)


class RecurrentForSequenceClassification(RecurrentPreTrainedModel):
    r"""
    A linear classifier on the final state of a [`RecurrentModel`].

    Args:
        config ([`RecurrentConfig`]): kind, sizes and classes.

    Example:

    ```python
    >>> import torch
    >>> from recurrent import RecurrentConfig, RecurrentForSequenceClassification

    >>> model = RecurrentForSequenceClassification(RecurrentConfig(vocab_size=100, num_labels=4))
    >>> model(input_ids=torch.tensor([[7, 8, 9]])).logits.shape
    torch.Size([1, 4])
    ```
    """

    # The loss is a mean over the batch, as in `LCLForSequenceClassification`.
    accepts_loss_kwargs = False

    def __init__(self, config: RecurrentConfig):
        super().__init__(config)
        self.model = RecurrentModel(config)
        self.dropout = nn.Dropout(config.dropout)
        # As transformers names the head of classifiers that use the last hidden state.
        self.score = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
    ) -> SequenceClassifierOutput:
        """
        Classifies a batch of texts.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, sequence)`, *optional*): see [`RecurrentModel.forward`].
            attention_mask (`torch.Tensor` of shape `(batch, sequence)`, *optional*): likewise.
            inputs_embeds (`torch.FloatTensor` of shape `(batch, sequence, embedding_size)`, *optional*): likewise.
            labels (`torch.LongTensor` of shape `(batch,)`, *optional*): class ids, to compute a `loss`.

        Returns:
            `SequenceClassifierOutput`: with `logits` of shape `(batch, num_labels)`.
        """
        self._align()
        states = self.model(input_ids, attention_mask, inputs_embeds, return_dict=True).last_hidden_state
        logits = self.score(self.dropout(states[:, -1]))
        loss = None if labels is None else self.loss_function(labels, logits, self.config)
        return SequenceClassifierOutput(loss=loss, logits=logits)


def _pick(states: Tensor, positions: Tensor) -> Tensor:
    """Selects from `states` `(batch, length, width)` those at `positions` `(batch, other length)`."""
    return states.gather(1, positions.unsqueeze(-1).expand(-1, -1, states.shape[-1]))
