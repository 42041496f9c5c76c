"""Which files of a folder are published: the classifier, its tokenizer and its card, and nothing else."""

import json
import re
from itertools import chain
from pathlib import Path
from typing import Any

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id
from transformers.dynamic_module_utils import get_relative_import_files
from transformers.models.auto.tokenization_auto import tokenizer_class_from_name
from transformers.utils import logging

from ..support.files import ADAPTER, WEIGHTS, check_weights, read_json


Files = dict[str, Path | bytes]  # name on the Hub -> where the content is, or the content

CARD = "README.md"
TOKENIZER_CONFIG = "tokenizer_config.json"
# Files that any tokenizer may have; the names of vocabulary files depend on its class.
TOKENIZER_FILES = {"tokenizer.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja"}
VOCABULARIES = ("vocab.txt", "vocab.json", "merges.txt", "spiece.model", "sentencepiece.bpe.model", "tokenizer.model")
PICTURE = re.compile(r"!\[[^][]*]\(([\w-]+(?:/[\w-]+)*\.(?:png|svg|jpg))\)")
TRAINING_STATE = "training_state"
# The token formats that secret scanners search for. No letter or digit precedes a token, except in an escape sequence
# of JSON or of a URL. Quantifiers of parts that may fail are bounded, so that a file is read in linear time.
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


def published_files(folder: str | Path) -> Files:
    """
    The files to publish from a folder that `trainer.save_model()` wrote, by their names on the Hub. Optimizer states,
    checkpoints, logs, predictions and all other files are left out.

    Raises:
        ValueError: if the folder holds no classifier, is a checkpoint of a run, or holds both a classifier and an
            adapter, or if one of the files is a link that leads out of the folder.
    """
    folder = Path(folder)
    remedy = "name the folder that trainer.save_model() wrote"
    if not (folder / "config.json").is_file():
        raise ValueError(f"{folder} holds no classifier (no config.json): {remedy}.")
    config = read_json(folder / "config.json")
    if config["model_type"] == "lcl":
        raise ValueError(f"{folder} is a checkpoint of a run, not a classifier: {remedy}.")
    check_weights(folder)
    names = {path.name for path in folder.iterdir() if path.is_file()}
    weights = {name for name in names if WEIGHTS.fullmatch(name)}
    adapter = names.intersection(ADAPTER)
    if bool(weights) == bool(adapter):
        found = "both a classifier and an adapter" if weights else "neither a classifier nor an adapter"
        raise ValueError(f"{folder} holds {found}: publish a folder with one of them.")
    others = names & {"config.json", CARD, *_tokenizer_files(folder)}
    code = set().union(*(_code_files(folder, name) for name in others & {"config.json", TOKENIZER_CONFIG}))
    card = read_text(folder / CARD) if CARD in names else ""
    pictures = {name for name in PICTURE.findall(card) if (folder / name).is_file()}
    return {name: _inside(folder, folder / name) for name in sorted(weights | adapter | code | others | pictures)}


def training_state_files(checkpoint: str | Path) -> Files:
    """
    The weights and configuration of a training model (with its weighting network) in a folder that its
    `save_pretrained` wrote, by their names on the Hub.

    Raises:
        ValueError: if the checkpoint or one of its files is a link that leads out of its parent folder.
    """
    folder, checkpoint = Path(checkpoint).parent, Path(checkpoint)
    config = read_json(_inside(folder, checkpoint / "config.json"))
    config.pop("auto_map", None)  # names code files, which are not published
    files: Files = {
        f"{TRAINING_STATE}/{path.name}": _inside(folder, path)
        for path in sorted(checkpoint.iterdir())
        if WEIGHTS.fullmatch(path.name)
    }
    return files | {f"{TRAINING_STATE}/config.json": json.dumps(without_folders(config), indent=2).encode()}


def without_folders(settings: Any) -> Any:
    """The settings without the folders that models were loaded from, here or elsewhere, which are private."""
    if not isinstance(settings, dict):
        return settings
    return {
        name: None if name.endswith("name_or_path") and _is_folder(value) else without_folders(value)
        for name, value in settings.items()
    }


def hub_id(name: str | None) -> str | None:
    """`name` if it is a valid Hub id, else `None`: paths are private."""
    try:
        validate_repo_id(name or "")
    except HFValidationError:
        return None
    return name


def _is_folder(name: str | None) -> bool:
    """Whether a model was loaded from a folder, here or elsewhere."""
    return bool(name and (hub_id(name) is None or Path(name).exists()))


def is_weights(name: str) -> bool:
    """Whether a file of this name on the Hub holds weights, or configures how they are loaded."""
    base = name.rpartition("/")[2]
    return base in ADAPTER or WEIGHTS.fullmatch(base) is not None


def read_text(file: Path | bytes, name: str = CARD) -> str:
    """The text of a file; raises a `ValueError` that names it if it is not UTF-8."""
    try:
        return (file if isinstance(file, bytes) else file.read_bytes()).decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} is not UTF-8 (byte {error.start}): save it as UTF-8, and publish again.") from error


def check_secrets(files: Files, token: str | None) -> None:
    """Raises a `ValueError` that names file and line if one of the files contains the token in use or any other."""
    for name, file in files.items():
        if name.endswith(".safetensors"):
            continue
        content = file if isinstance(file, bytes) else file.read_bytes()
        positions = [match.start() for match in SECRET.finditer(content)]
        if token and token.encode() in content:
            positions.append(content.index(token.encode()))
        if positions:
            line = content.count(b"\n", 0, min(positions)) + 1
            raise ValueError(f"{name}, line {line} contains a token: remove it, and publish again.")


def _inside(folder: Path, path: Path) -> Path:
    """`path`; raises a `ValueError` if it is a link that leads out of the folder."""
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{path} is a link out of the folder, to {path.resolve()}: put the file itself there.")
    return path


def _code_files(folder: Path, name: str) -> set[str]:
    """
    The names of the files with the code of an architecture or tokenizer of its own: those that the `auto_map` of the
    JSON file `name` refers to, and those that they import.
    """
    references = chain.from_iterable(
        reference if isinstance(reference, list) else [reference]  # a tokenizer has a slow and a fast class
        for reference in read_json(folder / name).get("auto_map", {}).values()
    )
    modules = {folder / f"{one.partition('.')[0]}.py" for one in references if one} & {*folder.glob("*.py")}
    imported = {Path(path) for module in modules for path in get_relative_import_files(module)}
    return {path.name for path in modules | imported}


def _tokenizer_files(folder: Path) -> set[str]:
    """The names that tokenizer files may have."""
    if not (folder / TOKENIZER_CONFIG).is_file():
        logger.warning(f"{folder} holds no tokenizer: users of the model will get one with an empty vocabulary.")
        return set()
    name = read_json(folder / TOKENIZER_CONFIG).get("tokenizer_class")  # older ones have none
    tokenizer_class = tokenizer_class_from_name(name) if name else None
    vocabulary = tokenizer_class.vocab_files_names.values() if tokenizer_class else VOCABULARIES
    return {TOKENIZER_CONFIG, *TOKENIZER_FILES, *vocabulary}
