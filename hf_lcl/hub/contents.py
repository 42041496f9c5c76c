"""What of a folder is published: the classifier, its tokenizer and its card, and nothing else that lies there."""

import json
import re
from pathlib import Path
from typing import Any

from transformers.models.auto.tokenization_auto import tokenizer_class_from_name
from transformers.tokenization_utils_base import (
    ADDED_TOKENS_FILE,
    CHAT_TEMPLATE_FILE,
    FULL_TOKENIZER_FILE,
    SPECIAL_TOKENS_MAP_FILE,
    TOKENIZER_CONFIG_FILE,
)
from transformers.utils import logging

from ..support.files import check_weights, read_json


CARD = "README.md"
CLASSIFIER_WEIGHTS = re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors|model\.safetensors\.index\.json")
ADAPTER = re.compile(r"adapter_(model\.safetensors|config\.json)")
TOKENIZER_FILES = {
    ADDED_TOKENS_FILE,
    CHAT_TEMPLATE_FILE,
    FULL_TOKENIZER_FILE,
    SPECIAL_TOKENS_MAP_FILE,
    TOKENIZER_CONFIG_FILE,
}
PICTURE = re.compile(r"!\[[^][]*]\(([\w-]+(?:/[\w-]+)*\.(?:png|svg|jpg))\)")
TRAINING_STATE = "training_state"
# Tokens by their shapes, as secret scanners know them. In front of one no letter stands, but for the end of an escape
# of JSON or of an address. Nothing that may fail is sought without bound: a file is read in one pass.
SECRET = re.compile(
    rb"""(?x) (?: (?<![A-Za-z0-9]) | (?<=\\[bfnrt]) | (?<=\\u[0-9A-Fa-f]{4}) | (?<=%[0-9A-Fa-f]{2}) ) (?:
        hf_[A-Za-z0-9]{30,} | hf_oauth_[A-Za-z0-9_.-]{20,} | api_org_[A-Za-z0-9]{30,}  # Hugging Face
        | sk-(?=[A-Za-z_-]{0,200}[0-9])[A-Za-z0-9][A-Za-z0-9_-]{19,}  # OpenAI, Anthropic
        | gsk_[A-Za-z0-9]{40,} | r8_[A-Za-z0-9]{37} | pplx-[A-Za-z0-9]{40,} | nvapi-[A-Za-z0-9_-]{60,}
        | gh[opsur]_[A-Za-z0-9]{36,} | github_pat_[A-Za-z0-9_]{22,} | glpat-[A-Za-z0-9_-]{20,}  # GitHub, GitLab
        | (?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9]) | AIza[A-Za-z0-9_-]{35} | ya29\.[A-Za-z0-9_-]{20,}  # AWS, Google
        | xox[abeoprs]-[A-Za-z0-9-]{10,} | xapp-[0-9]-[A-Za-z0-9-]{10,} | [rs]k_live_[A-Za-z0-9]{20,}  # Slack, Stripe
        | hooks\.slack\.com/services/[A-Z0-9]{8,12}/[A-Z0-9]{8,12}/[A-Za-z0-9]{20,}
        | discord(?:app)?\.com/api/webhooks/[0-9]{17,20}/[A-Za-z0-9_-]{60,} | [0-9]{8,10}:AA[A-Za-z0-9_-]{33}
        | npm_[A-Za-z0-9]{36} | pypi-[A-Za-z0-9_-]{50,} | do[opr]_v1_[0-9a-f]{64} | wandb_v1_[A-Za-z0-9_]{40,}
        | SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}  # SendGrid
        | eyJ[A-Za-z0-9_-]{10,300}\.eyJ[A-Za-z0-9_-]{10,3000}\.[A-Za-z0-9_-]{20,}  # JSON Web Token
        | -----BEGIN\ [A-Z ]*PRIVATE\ KEY-----
    )"""
)

logger = logging.get_logger(__name__)


def published_files(folder: str | Path) -> dict[str, Path]:
    """
    The files of a folder that `trainer.save_model()` wrote, by their names on the Hub.

    Optimizer states, checkpoints, logs, predictions and whatever else lies in the folder are not among them.

    Args:
        folder (`str` or `Path`): the folder.

    Returns:
        `dict[str, Path]`

    Raises:
        ValueError: if the folder holds no classifier, a checkpoint of a run, or a classifier and an adapter, or if one
            of the files is a link out of the folder.
    """
    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise ValueError(
            f"{folder} holds no classifier (no config.json): name the folder that trainer.save_model() wrote."
        )
    config = read_json(folder / "config.json")
    if config["model_type"] == "lcl":
        raise ValueError(
            f"{folder} is a checkpoint of a run, not a classifier: name the folder that trainer.save_model() wrote."
        )
    check_weights(folder)
    names = {path.name for path in folder.iterdir() if path.is_file()}
    weights = {name for name in names if CLASSIFIER_WEIGHTS.fullmatch(name)}
    adapter = {name for name in names if ADAPTER.fullmatch(name)}
    if bool(weights) == bool(adapter):
        held = "both a classifier and an adapter" if weights else "neither a classifier nor an adapter"
        raise ValueError(f"{folder} holds {held}: publish a folder with one of them.")
    # Architectures that came with code of their own name its files relative to this folder.
    has_code = any("--" not in reference for reference in config.get("auto_map", {}).values())
    code = {name for name in names if has_code and name.endswith(".py")}
    others = names & (_tokenizer_files(folder) | {"config.json", CARD})
    published = sorted(weights | adapter | code | others | _pictures(folder))
    return {name: _inside(folder, folder / name) for name in published}


def _inside(folder: Path, path: Path) -> Path:
    """`path`; raises a `ValueError` where links lead out of the folder."""
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{path} is a link out of the folder, to {path.resolve()}: put the file itself there.")
    return path


def _tokenizer_files(folder: Path) -> set[str]:
    """Names that files of the tokenizer may have."""
    if not (folder / TOKENIZER_CONFIG_FILE).is_file():
        logger.warning(f"{folder} holds no tokenizer: readers get one that knows no word.")
        return set()
    settings = read_json(folder / TOKENIZER_CONFIG_FILE)
    tokenizer_class = tokenizer_class_from_name(settings["tokenizer_class"])
    return TOKENIZER_FILES | set(tokenizer_class.vocab_files_names.values() if tokenizer_class else ())


def _pictures(folder: Path) -> set[str]:
    """The pictures that the card shows."""
    card = read_text(folder / CARD) if (folder / CARD).is_file() else ""
    return {name for name in PICTURE.findall(card) if (folder / name).is_file()}


def read_text(path: Path, name: str = CARD) -> str:
    """A text; raises a `ValueError` with its name where it is no UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} is no UTF-8 (byte {error.start}): save it as UTF-8, and publish again.") from error


def training_state_files(checkpoint: str | Path) -> dict[str, Path | bytes]:
    """
    The training model of a checkpoint, weighting network included, by its names on the Hub: weights and configuration.

    Args:
        checkpoint (`str` or `Path`): what `LCLForSequenceClassification.save_pretrained` wrote.

    Returns:
        `dict[str, Path | bytes]`

    Raises:
        ValueError: if the checkpoint, or one of its files, is a link out of the folder that it lies in.
    """
    folder, checkpoint = Path(checkpoint).parent, Path(checkpoint)
    config = read_json(_inside(folder, checkpoint / "config.json"))
    config.pop("auto_map", None)  # names files of code, which stay here
    weights = [_inside(folder, path) for path in checkpoint.iterdir() if CLASSIFIER_WEIGHTS.fullmatch(path.name)]
    files: dict[str, Path | bytes] = {f"{TRAINING_STATE}/{path.name}": path for path in sorted(weights)}
    files[f"{TRAINING_STATE}/config.json"] = json.dumps(_without_folders(config), indent=2).encode()
    return files


def _without_folders(settings: Any) -> Any:
    """The settings without the folders that models were loaded from: nobody's business."""
    if not isinstance(settings, dict):
        return settings
    return {
        name: None if name.endswith("name_or_path") and value and Path(value).exists() else _without_folders(value)
        for name, value in settings.items()
    }


def is_weights(name: str) -> bool:
    """Whether a file of this name on the Hub is loaded as weights, or says how."""
    base = name.rpartition("/")[2]
    return bool(CLASSIFIER_WEIGHTS.fullmatch(base) or ADAPTER.fullmatch(base))


def check_secrets(files: dict[str, Path | bytes], token: str | None) -> None:
    """Raises a `ValueError` that names the file and the line in which the token in use, or any other, stands."""
    for name, file in files.items():
        if name.endswith(".safetensors"):
            continue
        content = file if isinstance(file, bytes) else file.read_bytes()
        places = [match.start() for match in SECRET.finditer(content)]
        if token and token.encode() in content:
            places.append(content.index(token.encode()))
        if places:
            line = content.count(b"\n", 0, min(places)) + 1
            raise ValueError(f"{name}, line {line} contains a token: take it out, and publish again.")
