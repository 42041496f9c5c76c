"""Publishing a folder, or a model in memory: the standard classifier, its tokenizer and its card."""

import tempfile
from pathlib import Path

from huggingface_hub import CommitInfo, ModelCard
from transformers import PreTrainedTokenizerBase

from ..model.classes import class_names
from ..model.modeling import LCLForSequenceClassification
from ..support.checkpoints import checkpoint_of
from ..support.command_line import command_line
from .card import CardFacts, render_card
from .card_merging import only_parts
from .contents import CARD, Files, published_files, training_state_files
from .requests import check_files, commit_files, create_repo


def push_folder(
    output_dir: str | Path,
    repo_id: str,
    *,
    private: bool | None = None,
    token: str | None = None,
    revision: str | None = None,
    commit_message: str = "Upload classifier",
    include_training_state: bool = False,
) -> CommitInfo:
    """
    Publishes the classifier in a folder with its tokenizer and card in one commit, and no other file of the folder.

    Files that the Hub already has are not sent, and without new files there is no commit. Manual changes to the card
    on the Hub are kept.

    Args:
        output_dir (`str` or `Path`): the folder that `trainer.save_model()` wrote.
        repo_id (`str`): `"USER/NAME"` on the Hub; created if it does not exist.
        private (`bool`, *optional*): whether a new repository is private; defaults to the account's setting.
        token (`str`, *optional*): defaults to that of `hf auth login` or `HF_TOKEN`.
        revision (`str`, *optional*): the branch, created if it does not exist; defaults to `main`.
        commit_message (`str`, *optional*, defaults to `"Upload classifier"`): first line of the commit.
        include_training_state (`bool`, *optional*, defaults to `False`): whether to publish the model of the last
            checkpoint in `output_dir` too, with its weighting network and without the optimizer. To resume training:
            `LCLForSequenceClassification.from_pretrained(repo_id, subfolder="training_state")`.

    Returns:
        `huggingface_hub.CommitInfo`: the commit, or the latest one if nothing was new.

    Raises:
        ValueError: if the folder holds no classifier, or no checkpoint for `include_training_state`, or a file
            contains a token.
        PushError: if the Hub refuses or cannot be reached; one line that says how to try again.

    Example:

    ```python
    >>> from hf_lcl.hub import push_folder

    >>> push_folder("out", "me/my-classifier", private=True)
    ```
    """
    files = published_files(output_dir)
    if include_training_state:
        checkpoint = checkpoint_of(output_dir)
        if checkpoint is None:
            raise ValueError(
                f"{output_dir} holds no whole checkpoint-* of the run that its classifier comes from: there is no "
                "training state to publish."
            )
        files |= training_state_files(checkpoint)
    hint = retry_hint(output_dir, repo_id, private, revision, include_training_state)
    check_files(files, token)  # before there is a repository
    repo_id = create_repo(repo_id, private=private, token=token, retry_hint=hint)
    return commit_files(files, repo_id, token=token, revision=revision, commit_message=commit_message, retry_hint=hint)


def retry_hint(
    folder: str | Path,
    repo_id: str,
    private: bool | None = None,
    revision: str | None = None,
    include_training_state: bool = False,
) -> str:
    """Where the model is, and the command that tries again: the last part of a [`PushError`] about a folder."""
    flags = ["--private"] * bool(private) + ["--include_training_state"] * include_training_state
    flags += ["--revision", revision] if revision else []
    return f"The model is in {folder}; to try again: {command_line('push', folder, repo_id, *flags)}"


def push_model(
    model: LCLForSequenceClassification,
    repo_id: str,
    *,
    tokenizer: PreTrainedTokenizerBase | None = None,
    commit_message: str = "Upload classifier",
    commit_description: str | None = None,
    private: bool | None = None,
    token: str | None = None,
    revision: str | None = None,
    create_pr: bool = False,
    max_shard_size: int | str = "50GB",
    tags: list[str] | None = None,
    include_training_state: bool = False,
) -> CommitInfo:
    """
    Publishes the classifier inside a model (`model.push_to_hub`) and its tokenizer; with `include_training_state` the
    wrapper too. An existing card stays as it is. Arguments are those of [`push_folder`] and of
    `PreTrainedModel.push_to_hub`.

    Raises:
        PushError: if the Hub refuses or cannot be reached.
    """
    hint = "The model is in memory only: save it with save_pretrained, or call push_to_hub again."
    repo_id = create_repo(repo_id, private=private, token=token, retry_hint=hint)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        model.to_sequence_classifier().save_pretrained(folder, max_shard_size=max_shard_size)
        if tokenizer is not None:
            tokenizer.save_pretrained(folder)
        _short_card(model, repo_id, tags).save(folder / CARD)
        files: Files = {path.name: path for path in sorted(folder.iterdir())}
        if include_training_state:
            model.save_pretrained(folder / "wrapper", max_shard_size=max_shard_size)
            files |= training_state_files(folder / "wrapper")
        return commit_files(
            files,
            repo_id,
            token=token,
            revision=revision,
            commit_message=commit_message,
            commit_description=commit_description,
            create_pr=create_pr,
            replace_card=False,
            retry_hint=hint,
        )


def _short_card(model: LCLForSequenceClassification, repo_id: str, tags: list[str] | None) -> ModelCard:
    """A card with the facts that are known without a trainer."""
    facts = CardFacts(
        repo_id,
        labels=class_names(model.config),
        remote_code=bool(getattr(model.config.text_config, "auto_map", None)),
        tags=[*(model.model_tags or []), *(tags or [])],
    )
    return only_parts(render_card(facts), ("summary", "labels", "limits"))
