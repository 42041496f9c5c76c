"""The model's configuration: that of the wrapped classifier, the pooling and the weighting network."""

from typing import Any, ClassVar, Final

from transformers import AutoConfig, PreTrainedConfig


POOLINGS = ("cls", "mean", "last")
WEIGHTINGS = ("head", "encoder", "classifier", "none")
SEVERAL: Final = "multi_label_classification"  # the `problem_type` of a model that gives a text any number of labels
# For `trust_remote_code`; by name, since FSDP2 gives a sharded model a class that torch generates.
AUTO_MAP = {
    "AutoConfig": "configuration.LCLConfig",
    **dict.fromkeys(("AutoModel", "AutoModelForSequenceClassification"), "modeling.LCLForSequenceClassification"),
}


class LCLConfig(PreTrainedConfig):
    r"""
    Configuration of an [`LCLForSequenceClassification`].

    Args:
        text_config (`PreTrainedConfig` or `dict`, *optional*): configuration of the wrapped sequence classifier, of
            any architecture; defaults to BERT's.
        pooling (`str`, *optional*, defaults to `"cls"`): how the last hidden state becomes one embedding: `"cls"`
            (first position), `"mean"` (over the real tokens, special ones left out) or `"last"` (last real token).
        weighting (`str`, *optional*, defaults to `"head"`): the weighting network of the label-aware loss: `"head"`
            (dense, activation, linear on the embedding), `"encoder"` (a second network, as in the paper),
            `"classifier"` (the classifier's own probabilities, detached: no parameters) or `"none"`.
        special_token_ids (`list[int]`, *optional*): ids that `pooling="mean"` leaves out ([CLS], [SEP], ...). Taken
            from the tokenizer by [`~LCLForSequenceClassification.from_encoder`] and [`ContrastiveTrainer`].
        adapter (`dict`, *optional*): settings of the `peft` adapter inside the classifier; set by
            [`~LCLForSequenceClassification.attach_adapter`].
        start (`list[str]`, *optional*): what was done to the weights before the first training step
            (`"distill_mean"`, `"head_start"`), and `"names_in_batches"` if batches hold the names of their classes;
            set by [`ContrastiveTrainer`], which does it once.
        **kwargs: as in `PreTrainedConfig`. `num_labels`, `id2label`, `label2id` and `problem_type` are passed on to
            `text_config`, so that both always agree.

    Raises:
        ValueError: if `pooling` or `weighting` is not one of the names above.

    Example:

    ```python
    >>> from transformers import ElectraConfig
    >>> from hf_lcl import LCLConfig

    >>> config = LCLConfig(text_config=ElectraConfig(), num_labels=32, weighting="head")
    >>> config.num_labels, config.text_config.num_labels
    (32, 32)
    ```
    """

    model_type = "lcl"
    # Only under this name does `get_text_config()` find the nested configuration, which transformers needs to resize
    # embeddings and set pad tokens.
    sub_configs: ClassVar[dict[str, Any]] = {"text_config": AutoConfig}
    # Evaluation collects the logits, not one hidden state per text.
    keys_to_ignore_at_inference: ClassVar[list] = ["weighting_logits", "embeddings", "hidden_states", "attentions"]

    text_config: Any = None
    pooling: str = "cls"
    weighting: str = "head"
    special_token_ids: list[int] | None = None
    adapter: dict | None = None
    start: list[str] | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        for field, value, known in (("pooling", self.pooling, POOLINGS), ("weighting", self.weighting, WEIGHTINGS)):
            if value not in known:
                raise ValueError(f"{field}={value!r} is unknown: use one of {', '.join(map(repr, known))}.")
        if not isinstance(self.text_config, PreTrainedConfig):
            self.text_config = AutoConfig.for_model(**{"model_type": "bert", **(self.text_config or {})})
        text_config, num_labels = self.text_config, kwargs.get("num_labels")
        if self.id2label is None and num_labels is None:
            self.id2label, self.label2id = text_config.id2label, text_config.label2id
        elif self.id2label is not None and num_labels not in (None, len(self.id2label)):
            # The number of labels differs from the saved one: the saved names do not apply.
            self.id2label = self.label2id = None
        if self.problem_type is None:
            self.problem_type = text_config.problem_type
        super().__post_init__(**kwargs)
        if self.label2id is None:
            self.label2id = {str(name): int(index) for index, name in (self.id2label or {}).items()}
        text_config.id2label, text_config.label2id = self.id2label, self.label2id
        text_config.problem_type = self.problem_type

    @property
    def has_several_labels(self) -> bool:
        """Whether each class is predicted independently, so that a text may have several labels or none."""
        return self.problem_type == SEVERAL
