"""What the model is: the wrapped classifier's own configuration, the pooling and the weighting network."""

from typing import Any, ClassVar

from transformers import AutoConfig, PreTrainedConfig


POOLINGS = ("cls", "mean", "last")
WEIGHTINGS = ("head", "encoder", "classifier", "none")


class LCLConfig(PreTrainedConfig):
    r"""
    Configuration of an [`LCLForSequenceClassification`].

    Args:
        text_config (`PreTrainedConfig` or `dict`, *optional*):
            Configuration of the sequence classifier that is wrapped, of any architecture. Defaults to a BERT
            configuration.
        pooling (`str`, *optional*, defaults to `"cls"`):
            How the last hidden state becomes one embedding: `"cls"` (first position), `"mean"` (mean over the real
            tokens, special tokens left out) or `"last"` (last real token, for decoders).
        weighting (`str`, *optional*, defaults to `"head"`):
            The weighting network of the label-aware loss: `"head"` (dense, activation, linear on the embedding),
            `"encoder"` (a second network, as in the paper), `"classifier"` (the classifier's own probabilities,
            detached: no parameters) or `"none"`.
        special_token_ids (`list[int]`, *optional*):
            Ids that `pooling="mean"` leaves out ([CLS], [SEP], ...). Taken from the tokenizer by
            [`~LCLForSequenceClassification.from_encoder`] and [`ContrastiveTrainer`].
        adapter (`dict`, *optional*):
            Settings of the `peft` adapter inside the classifier; set by
            [`~LCLForSequenceClassification.attach_adapter`].
        start (`list[str]`, *optional*):
            What was done to the weights before the first training step (`"distill_mean"`, `"head_start"`); set by
            [`ContrastiveTrainer`], which does it once.
        **kwargs:
            Everything that any `PreTrainedConfig` takes. `num_labels`, `id2label`, `label2id` and `problem_type`
            are passed on to `text_config`, so that both always agree.

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
    # `get_text_config()` finds the nested configuration under this name only, and with it everything in transformers
    # that resizes embeddings or sets pad tokens.
    sub_configs: ClassVar[dict[str, Any]] = {"text_config": AutoConfig}
    # Evaluation returns logits, not one hidden state per text.
    keys_to_ignore_at_inference: ClassVar[list[str]] = [
        "weighting_logits",
        "embeddings",
        "hidden_states",
        "attentions",
        "past_key_values",
    ]

    text_config: Any = None
    pooling: str = "cls"
    weighting: str = "head"
    special_token_ids: list[int] | None = None
    adapter: dict | None = None
    start: list[str] | None = None

    def __post_init__(self, **kwargs):
        if self.pooling not in POOLINGS:
            raise ValueError(f"pooling={self.pooling!r} is unknown: use one of {', '.join(map(repr, POOLINGS))}.")
        if self.weighting not in WEIGHTINGS:
            raise ValueError(
                f"weighting={self.weighting!r} is unknown: use one of {', '.join(map(repr, WEIGHTINGS))}."
            )
        if self.text_config is None:
            self.text_config = AutoConfig.for_model("bert")
        elif isinstance(self.text_config, dict):
            nested = {"model_type": "bert", **self.text_config}
            self.text_config = AutoConfig.for_model(nested.pop("model_type"), **nested)

        text_config = self.text_config
        labels_given = self.id2label is not None or kwargs.get("num_labels") is not None
        if not labels_given:
            self.id2label, self.label2id = text_config.id2label, text_config.label2id
        if self.problem_type is None:
            self.problem_type = text_config.problem_type
        if self.id2label is not None and kwargs.get("num_labels") not in (None, len(self.id2label)):
            # Another number of labels than the saved one: the saved names are of no use.
            self.id2label = self.label2id = None
        super().__post_init__(**kwargs)
        if self.label2id is None:
            self.label2id = {name: index for index, name in self.id2label.items()}
        text_config.id2label, text_config.label2id = self.id2label, self.label2id
        text_config.problem_type = self.problem_type
