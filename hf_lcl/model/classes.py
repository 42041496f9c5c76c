"""The classes of a classifier: their names, their order, and how a checkpoint's head fits other names."""

import copy
from collections.abc import Iterable, Sequence
from os import PathLike
from typing import Any

import torch
from transformers import PreTrainedConfig, PreTrainedModel


# Name of the class of an exported classifier for out-of-scope texts.
OUT_OF_SCOPE = "out_of_scope"
# What was folded into the last layer of a finished classifier, in its configuration.
FOLDED = ("folded_temperature", "folded_thresholds", OUT_OF_SCOPE)


def label_arguments(
    num_labels: int | None, id2label: dict[int, str] | None, label2id: dict[str, int] | None
) -> dict[str, Any]:
    """The label arguments of `from_pretrained`, empty if none are given; a `ValueError` if they disagree."""
    if id2label is None and label2id is None:
        return {} if num_labels is None else {"num_labels": num_labels}
    if id2label is None:
        names = {index: name for name, index in (label2id or {}).items()}
    else:
        names = {int(index): name for index, name in id2label.items()}
    inverse = {name: index for index, name in names.items()}
    if (
        sorted(names) != list(range(len(inverse)))
        or num_labels not in (None, len(names))
        or (label2id is not None and dict(label2id) != inverse)
    ):
        raise ValueError(
            f"num_labels={num_labels}, id2label={id2label} and label2id={label2id} do not agree: give id2label alone, "
            f"with each id from 0 to {len(names) - 1} and each name once."
        )
    return {"id2label": names, "label2id": inverse}


def class_names(config: PreTrainedConfig) -> list[str]:
    """Names of a model's classes, by id."""
    names: dict = config.id2label or {}
    return [str(names[index]) for index in sorted(names)]


def placeholders(number: int) -> list[str]:
    """The names that transformers gives to classes without a name."""
    return [f"LABEL_{index}" for index in range(number)]


def are_placeholders(names: Sequence[str]) -> bool:
    """Whether names are [`placeholders`]."""
    return list(names) == placeholders(len(names))


def spelled_names(names: Sequence[str], labels: Iterable[Any]) -> list[str]:
    """The names of classes as `labels` have them: ids if the names are placeholders and no label is one of these."""
    is_by_id = are_placeholders(names) and not {*map(str, labels)} & {*names}
    return [str(index) if is_by_id else name for index, name in enumerate(names)]


def known_classes(names: Sequence[str]) -> int:
    """The number of classes without `out_of_scope`, which is the last one if present."""
    return len(names) - (names[-1:] == [OUT_OF_SCOPE])


def fitted_class(config: PreTrainedConfig) -> dict[str, Any] | None:
    """The settings of the last class if it is `out_of_scope` and was fitted, not learned from texts; else `None`."""
    return getattr(config, OUT_OF_SCOPE, None) if class_names(config)[-1] == OUT_OF_SCOPE else None


def class_order(before: list[str], now: list[str]) -> list[int]:
    """
    For each class of `now`, its index in `before`, which has the same length: the class of the same name, else of the
    same name in another case, else the next of the remaining ones.

    Example:

    ```python
    >>> class_order(["glad", "sad", "angry"], ["angry", "glad", "upset"])
    [2, 0, 1]
    ```
    """
    order = {name: before.index(name) for name in now if name in before}
    alike = {name.casefold(): index for index, name in enumerate(before) if index not in order.values()}
    order |= {name: alike.pop(name.casefold()) for name in now if name not in order and name.casefold() in alike}
    others = iter(sorted({*range(len(before))} - {*order.values()}))
    return [order[name] if name in order else next(others) for name in now]


@torch.no_grad()
def reorder_classes(model: PreTrainedModel, order: list[int]) -> None:
    """
    Reorders the classes of a sequence classifier of any architecture, or of a wrapper: `order` has the old id for each
    new id. Class names are not changed.
    """
    if order == list(range(len(order))):
        return
    # The tensors to reorder are those whose shape changes if there is one more class.
    config = copy.deepcopy(model.config)
    for one in (config, config.get_text_config()):
        one.num_labels = len(order) + 1
    with torch.device("meta"):
        larger = type(model)(config).state_dict()
    for name, tensor in model.state_dict().items():
        for dim, size in enumerate(tensor.shape):
            if larger[name].shape[dim] != size:
                tensor.copy_(tensor.index_select(dim, torch.tensor(order, device=tensor.device)))


def head_line(name: str | PathLike, report: dict[str, Any], before: list[str], now: list[str]) -> str:
    """One line on what of a checkpoint's head was kept, from the loading info and the old and new class names."""
    new = report["missing_keys"] | {key for key, *_ in report["mismatched_keys"]}
    layers = ", ".join(sorted({key.rpartition(".")[0] for key in new}))
    if report["mismatched_keys"]:
        known = [label for label in now if label in before and not label.startswith("LABEL_")]
        also = f", also for the classes that both have ({_brief(known)})" if known else ""
        return f"{name} has a classifier for {len(before)} classes, not {len(now)}: {layers} starts anew{also}."
    if new:
        return f"{name} has no classifier: {layers} starts anew."
    pairs = [(before[old], label) for old, label in zip(class_order(before, now), now, strict=True)]
    renamed = [(old, label) for old, label in pairs if old != label]
    became = ""
    if renamed:
        old_names, new_names = zip(*renamed)
        became = f", and its classes {_brief(old_names)} are now called {_brief(new_names)}"
    elif before != now:
        became = f", in your order ({_brief(now)})"
    return f"{name} has a classifier for {len(now)} classes: it is kept{became}."


def _brief(names: Sequence[str]) -> str:
    return ", ".join(names if len(names) <= 6 else [*names[:5], "..."])
