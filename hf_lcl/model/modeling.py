"""The model: a native sequence classifier of transformers, run once, with its embedding taken from the same pass."""

import copy
import inspect
from collections.abc import Callable
from os import PathLike
from typing import Any, ClassVar

from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, PreTrainedModel
from transformers.dynamic_module_utils import custom_object_save
from transformers.utils import can_return_tuple

from .adapters import (
    ADAPTER_NAMES,
    PLAIN_NAMES,
    adapter_settings,
    adapter_tensors,
    insert_adapter,
    merged_copy,
    without_sharing,
)
from .classes import class_names, class_order, label_arguments, reorder_classes
from .configuration import AUTO_MAP, LCLConfig
from .hidden_states import run_with_last_hidden_state, watch_last_hidden_state
from .loading import StartingPoint, check_classifier, find_tokenizer, hub_arguments, load_classifier
from .outputs import LCLOutput
from .pooling import default_pooling, pool, pooled_tokens
from .weighting import build_weighting_network, weighting_logits


class LCLForSequenceClassification(PreTrainedModel):
    r"""
    A sequence classifier that also returns what a contrastive loss needs: embeddings and weighting logits.

    It wraps the *native* `*ForSequenceClassification` of any architecture and runs it once per batch, so that
    [`~LCLForSequenceClassification.to_sequence_classifier`] gives an ordinary transformers model with bit-identical
    logits. Only training needs this class; serving does not.

    Paper: [Not All Negatives are Equal: Label-Aware Contrastive Loss for Fine-grained Text
    Classification](https://huggingface.co/papers/2109.05427).

    Args:
        config ([`LCLConfig`]): what the model is.
        native (`PreTrainedModel`, *optional*): a classifier to wrap; built from `config` by default.

    Example:

    ```python
    >>> from hf_lcl import LCLForSequenceClassification

    >>> model = LCLForSequenceClassification.from_encoder("google/electra-base-discriminator", num_labels=32)
    >>> out = model(**tokenizer(["I got the job!"], return_tensors="pt"))
    >>> out.logits.shape, out.weighting_logits.shape, out.embeddings.shape
    (torch.Size([1, 32]), torch.Size([1, 32]), torch.Size([1, 768]))
    >>> model.to_sequence_classifier().save_pretrained("my-classifier")  # needs no hf_lcl to load
    ```
    """

    config: LCLConfig
    config_class = LCLConfig
    base_model_prefix = "native"
    main_input_name = "input_ids"
    # The loss is a mean over the batch: the Trainer must divide it by the accumulation steps, not by a count of items.
    accepts_loss_kwargs = False
    # Left to the wrapped architecture: without these, transformers would refuse them for the wrapper.
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    # The implementation of `push_to_hub`: set by hf_lcl, `None` if this file was loaded with `trust_remote_code`.
    publisher: ClassVar[Callable[..., Any] | None] = None
    _keys_to_ignore_on_load_unexpected = [ADAPTER_NAMES]  # noqa: RUF012 - a list, as transformers has it

    def __init__(self, config: LCLConfig, native: PreTrainedModel | None = None):
        super().__init__(config)
        is_loaded = native is not None
        self.native = native = native or AutoModelForSequenceClassification.from_config(config.text_config)
        watch_last_hidden_state(native)
        # The same object, so that changes by transformers (vocabulary, pad token) apply to both configurations.
        self.config.text_config = native.config
        self.weighting_network = build_weighting_network(config.weighting, native, is_loaded)
        self.supports_gradient_checkpointing = native.supports_gradient_checkpointing
        self._takes_use_cache = "use_cache" in native_inputs(native)
        # In a tuple, since a module attribute would register every parameter a second time.
        self._adapted: tuple = ()
        self.starting_point = StartingPoint()  # unknown for a model in memory
        self.post_init()
        if config.adapter is not None:
            self._insert_adapter(config.adapter)

    @classmethod
    def from_native(
        cls, native: PreTrainedModel, *, pooling: str | None = None, weighting: str = "head"
    ) -> "LCLForSequenceClassification":
        """
        Wraps a sequence classifier that is already in memory. Its weights are shared, not copied.

        Args:
            native (`PreTrainedModel`): any `*ForSequenceClassification` of transformers.
            pooling (`str`, *optional*): see [`LCLConfig`]; defaults to what the architecture's own classifier uses.
            weighting (`str`, *optional*, defaults to `"head"`): see [`LCLConfig`].

        Raises:
            TypeError: if `native` is not a sequence classifier, or has an adapter already.
            ValueError: for an architecture that cannot be wrapped.
        """
        check_classifier(native)
        config = LCLConfig(
            # A copy: building a configuration from a live one resets that model's attention implementation.
            text_config=copy.deepcopy(native.config),
            pooling=default_pooling(native) if pooling is None else pooling,
            weighting=weighting,
            dtype=native.dtype,
        )
        config.name_or_path = native.config.name_or_path
        model = cls(config, native)
        model.train(native.training)
        return model

    @classmethod
    def from_encoder(
        cls,
        pretrained_model_name_or_path: str | PathLike,
        *,
        num_labels: int | None = None,
        id2label: dict[int, str] | None = None,
        label2id: dict[str, int] | None = None,
        pooling: str | None = None,
        weighting: str = "head",
        **kwargs: Any,
    ) -> "LCLForSequenceClassification":
        """
        Starts from a pretrained encoder on the Hub or on disk, whatever head it was saved with.

        A bare encoder, a masked-language or other pretraining model and a sentence-transformers folder get a new
        classifier; a sequence classifier keeps its own if the number of classes is the same. A log line says which.

        Args:
            pretrained_model_name_or_path (`str` or `os.PathLike`): a Hub id or a folder.
            num_labels (`int`, *optional*): number of classes; derived from `id2label` if that is given.
            id2label (`dict[int, str]`, *optional*): name of each class.
            label2id (`dict[str, int]`, *optional*): the inverse of `id2label`; derived from it by default.
            pooling (`str`, *optional*): see [`LCLConfig`]; defaults to what the architecture's own classifier uses.
            weighting (`str`, *optional*, defaults to `"head"`): see [`LCLConfig`].
            **kwargs: as in `AutoModelForSequenceClassification.from_pretrained` (`revision`, ...); `dtype` defaults to
                float32, whatever the weights are stored in, except with quantised weights or flash attention.

        Raises:
            ValueError: if the labels disagree, there is no model under that name, or its weights do not fit its
                configuration.
        """
        # Unknown names are refused before gigabytes are loaded.
        LCLConfig(pooling=pooling or "cls", weighting=weighting)
        name = pretrained_model_name_or_path
        native, starting_point = load_classifier(name, label_arguments(num_labels, id2label, label2id), **kwargs)
        model = cls.from_native(native, pooling=pooling, weighting=weighting)
        model.starting_point = starting_point
        tokenizer = find_tokenizer(name, **hub_arguments(kwargs)) if model.config.pooling == "mean" else None
        if tokenizer is not None:
            model.set_special_tokens(tokenizer)
        return model

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, config: Any = None, **kwargs: Any) -> Any:
        """As `PreTrainedModel.from_pretrained`; restores an adapter too, with the parameters that it had frozen."""
        name, where = pretrained_model_name_or_path, hub_arguments(kwargs)
        if config is None:
            config, kwargs = LCLConfig.from_pretrained(name, return_unused_kwargs=True, **kwargs)
        config = copy.deepcopy(config)
        adapter, config.adapter = config.adapter, None
        if adapter is not None:
            kwargs.setdefault("key_mapping", PLAIN_NAMES)
        loaded = super().from_pretrained(name, *args, config=config, **kwargs | where)
        if adapter is not None:
            # After loading, since some kinds of adapter compute tensors from the weights.
            model = loaded[0] if isinstance(loaded, tuple) else loaded
            model._insert_adapter(adapter)
            model.load_state_dict(adapter_tensors(name, **where), strict=False)
        return loaded

    def set_special_tokens(self, tokenizer: Any) -> None:
        """Sets the ids that `pooling="mean"` leaves out ([CLS], [SEP], <s>, ...); [UNK] and [MASK] stand for words."""
        words = {tokenizer.unk_token_id, tokenizer.mask_token_id}
        self.config.special_token_ids = sorted(set(tokenizer.all_special_ids) - words)

    def set_class_names(self, names: list[str]) -> None:
        """
        Sets the class names, by id. A class that keeps its name keeps its weights, even if its id changes. Raises a
        `ValueError` if the model has an adapter and the known names change their order.
        """
        known = class_names(self.config)
        order = class_order(known, names)
        if self._adapted and order != sorted(order):
            raise ValueError(f"The model has an adapter, which fixes the order of its classes: {', '.join(known)}.")
        reorder_classes(self, order)
        for config in (self.config, self.native.config):
            config.id2label, config.label2id = dict(enumerate(names)), {name: i for i, name in enumerate(names)}

    def attach_adapter(self, peft_config: Any) -> None:
        """
        Freezes the encoder and adds a `peft` adapter; the classifier and the weighting network stay trainable.

        Args:
            peft_config (`PeftConfig`): such as `LoraConfig(r=8)`; `task_type` and the classifier's modules are added.

        Raises:
            TypeError: if `peft_config` is no configuration of `peft`.
            ValueError: for an adapter that cannot be merged into a classifier, or if there is one already.
        """
        if self.config.adapter is not None:
            raise ValueError("The model has an adapter already: leave peft_config out, or start from the encoder.")
        self._insert_adapter(adapter_settings(self.native, peft_config))

    def _insert_adapter(self, settings: dict[str, Any]) -> None:
        self.config.adapter = settings
        networks = [self.native, self.weighting_network]
        self._adapted = tuple(insert_adapter(one, settings) for one in networks if isinstance(one, PreTrainedModel))

    @property
    def adapted_classifier(self) -> Any:
        """The `PeftModel` of the classifier, which saves only the adapter; `None` without an adapter."""
        return self._adapted[0] if self._adapted else None

    def to_sequence_classifier(self) -> PreTrainedModel:
        """
        The ordinary transformers classifier inside (`BertForSequenceClassification`, ...), with the same weights
        (shared, not copied) and bit-identical logits. With an adapter, it is a copy with the adapter merged into its
        weights, and its logits are equal up to rounding.
        """
        return merged_copy(self._adapted[0]) if self._adapted else self.native

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        **kwargs: Any,
    ) -> LCLOutput:
        """
        Runs the native classifier once and returns an [`LCLOutput`].

        Args:
            input_ids (`torch.LongTensor` of shape `(batch, sequence)`, *optional*): token ids.
            attention_mask (`torch.Tensor` of shape `(batch, sequence)`, *optional*): 1 for real tokens, 0 for padding.
            labels (`torch.LongTensor` of shape `(batch,)`, *optional*): classes, or indicator rows of 0 and 1.
                If given, `loss` is the cross-entropy, or the binary one. The contrastive objective needs the whole
                batch and is computed by [`ContrastiveTrainer`].
            **kwargs: further inputs of the architecture (`token_type_ids`, `inputs_embeds`, ...).
        """
        inputs = {"attention_mask": attention_mask, **kwargs}
        if input_ids is not None:
            inputs["input_ids"] = input_ids
        if self._takes_use_cache:
            inputs.setdefault("use_cache", False)
        output, hidden_states = run_with_last_hidden_state(self.native, inputs)
        embeddings = pool(hidden_states, pooled_tokens(self.config, hidden_states, inputs), self.config.pooling)
        asked_for_states = kwargs.get("output_hidden_states", self.config.output_hidden_states)
        return LCLOutput(
            loss=None if labels is None else _cross_entropy(output.logits.float(), labels),
            logits=output.logits,
            weighting_logits=weighting_logits(self, embeddings, output.logits, inputs),
            embeddings=embeddings,
            hidden_states=output.get("hidden_states") if asked_for_states else None,
            attentions=output.get("attentions"),
        )

    def save_pretrained(self, save_directory: str | PathLike, *args: Any, **kwargs: Any) -> None:
        """
        Saves the whole wrapper, including the weighting network, so that training can be resumed; arguments are those
        of `PreTrainedModel.save_pretrained`. With `trust_remote_code=True` the folder also loads without hf_lcl.
        """
        # The Trainer restores checkpoints by the current names of parameters. With the names of the original format,
        # the weights of 19 architectures would silently be lost.
        kwargs.setdefault("save_original_format", False)
        self.config.auto_map = dict(AUTO_MAP)
        if self._adapted:
            kwargs["state_dict"] = without_sharing(kwargs.get("state_dict") or self.state_dict())
        super().save_pretrained(save_directory, *args, **kwargs)
        if kwargs.get("is_main_process", True):
            custom_object_save(LCLForSequenceClassification, save_directory)

    def push_to_hub(self, repo_id: str, **kwargs: Any) -> Any:  # type: ignore[override] # decorated there
        """
        Publishes the standard classifier inside, not the wrapper, as `"USER/NAME"` on the Hub. Keyword arguments are
        those of [`~hub.push_model`]; without hf_lcl, those of `PreTrainedModel.push_to_hub`.
        """
        if LCLForSequenceClassification.publisher is not None:
            return LCLForSequenceClassification.publisher(self, repo_id, **kwargs)
        native: Any = self.to_sequence_classifier()
        return native.push_to_hub(repo_id, **kwargs)

    def resize_token_embeddings(self, *args: Any, **kwargs: Any) -> nn.Embedding:
        """As `PreTrainedModel.resize_token_embeddings`, for the classifier and a second encoder, if there is one."""
        if isinstance(self.weighting_network, PreTrainedModel):
            self.weighting_network.resize_token_embeddings(*args, **kwargs)
        return self.native.resize_token_embeddings(*args, **kwargs)


def native_inputs(native: PreTrainedModel) -> list[str]:
    """The names of all inputs of an architecture."""
    return [*inspect.signature(native.forward).parameters]


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    if labels.dim() == 2:
        return nn.functional.binary_cross_entropy_with_logits(logits, labels.to(logits))
    return nn.functional.cross_entropy(logits, labels)
