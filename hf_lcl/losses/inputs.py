"""
What the two loss functions refuse, each with a line that says what was given and what is allowed.

Shapes, dtypes and devices cost nothing to check. To read a value, the program has to wait for a GPU; so labels and
positions are read on a CPU only. On a GPU, a label without a column stops the kernel that looks it up ("index out of
bounds"). NaN and infinity are looked for when the loss is not finite: one number is read per batch.
"""

import math

import torch
from torch import Tensor


REDUCTIONS = ("mean", "sum", "none")
WEIGHT_PLACEMENTS = ("outside", "inside")
TEMPERATURE_SCALINGS = ("none", "positives")
ROWS_NAMED = 5


def check_options(temperature: float, reduction: str, temperature_scaling: str) -> None:
    """Refuses a temperature that is not positive, and an unknown reduction or scaling of the temperature."""
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, got {temperature}; 0.05 to 0.5 is usual for cosines.")
    _check_choice("reduction", reduction, REDUCTIONS)
    _check_choice("temperature_scaling", temperature_scaling, TEMPERATURE_SCALINGS)


def check_weight_placement(weight_placement: str) -> None:
    """Refuses an unknown place of the weight of the anchor's own class."""
    _check_choice("weight_placement", weight_placement, WEIGHT_PLACEMENTS)


def check_batch(embeddings: Tensor, labels: Tensor) -> None:
    """Refuses what is not embeddings `(batch, hidden)` and labels `(batch,)` on the same device."""
    _check_floating("embeddings", embeddings)
    _check_integers("labels", labels, "class ids")
    if embeddings.ndim != 2 or labels.shape != embeddings.shape[:1]:
        raise ValueError(
            "embeddings must have shape (batch, hidden) and labels (batch,), got "
            f"{tuple(embeddings.shape)} and {tuple(labels.shape)}."
        )
    _check_device("labels", labels, embeddings)


def check_weighting_logits(
    weighting_logits: Tensor, embeddings: Tensor, labels: Tensor, candidate_labels: Tensor | None
) -> None:
    """Refuses what is not weighting logits `(batch, num_labels)` with a column for each label."""
    if not torch.is_tensor(weighting_logits) or not weighting_logits.is_floating_point():
        raise TypeError(
            f"weighting_logits must be a floating point tensor, got {weighting_logits!r:.60}: a model with "
            'weighting="none" has none.'
        )
    if weighting_logits.ndim != 2 or len(weighting_logits) != len(labels):
        raise ValueError(
            f"weighting_logits must have shape (batch, num_labels) with batch = {len(labels)}, got "
            f"{tuple(weighting_logits.shape)}."
        )
    _check_device("weighting_logits", weighting_logits, embeddings)
    columns = weighting_logits.shape[1]
    _check_range("labels", labels, columns, f"weighting_logits have {columns} columns")
    if candidate_labels is not None:
        _check_range("candidate_labels", candidate_labels, columns, f"weighting_logits have {columns} columns")


def check_candidates(
    embeddings: Tensor,
    labels: Tensor,
    candidate_embeddings: Tensor | None,
    candidate_labels: Tensor | None,
    anchor_positions: Tensor | None,
) -> None:
    """Refuses candidates without labels or unlike the anchors, and positions where an anchor cannot be."""
    if candidate_embeddings is None and candidate_labels is None and anchor_positions is None:
        if not len(labels):
            raise ValueError("There is nothing to compare: embeddings has no rows.")
        return
    if candidate_embeddings is None or candidate_labels is None:
        raise ValueError(
            "candidate_embeddings and candidate_labels belong together, and anchor_positions are rows of both: give "
            "all that there is, or leave out all three."
        )
    _check_floating("candidate_embeddings", candidate_embeddings)
    _check_integers("candidate_labels", candidate_labels, "class ids")
    hidden = embeddings.shape[1]
    if candidate_embeddings.shape[1:] != (hidden,) or candidate_labels.shape != candidate_embeddings.shape[:1]:
        raise ValueError(
            f"candidate_embeddings must have shape (candidates, hidden) with hidden = {hidden} and candidate_labels "
            f"(candidates,), got {tuple(candidate_embeddings.shape)} and {tuple(candidate_labels.shape)}."
        )
    if not len(candidate_labels):
        raise ValueError("There is nothing to compare with: candidate_embeddings has no rows.")
    if candidate_embeddings.dtype != embeddings.dtype:
        raise TypeError(
            f"candidate_embeddings must have the dtype of embeddings, {embeddings.dtype}, got "
            f"{candidate_embeddings.dtype}: use candidate_embeddings.to(embeddings.dtype)."
        )
    _check_device("candidate_embeddings", candidate_embeddings, embeddings)
    _check_device("candidate_labels", candidate_labels, embeddings)
    if anchor_positions is not None:
        _check_positions(embeddings, labels, candidate_labels, anchor_positions)


def check_finite(loss: Tensor, **inputs: Tensor | None) -> None:
    """Refuses NaN and infinity in `inputs`, but reads them only where the loss is not finite either."""
    if math.isfinite(loss.detach().sum().item()):
        return
    for name, tensor in inputs.items():
        if tensor is None or tensor.isfinite().all():
            continue
        rows = (~tensor.isfinite()).any(dim=1).nonzero().flatten().tolist()
        named = ", ".join(map(str, rows[:ROWS_NAMED])) + (", ..." if len(rows) > ROWS_NAMED else "")
        raise ValueError(
            f"{name} holds NaN or infinity in {len(rows)} of {len(tensor)} rows ({named}): look for a learning rate "
            "that is too high, fp16 that overflows (bf16 does not), or bad input."
        )


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name}={value!r} is unknown: use one of {', '.join(map(repr, choices))}.")


def _check_positions(embeddings: Tensor, labels: Tensor, candidate_labels: Tensor, anchor_positions: Tensor) -> None:
    _check_integers("anchor_positions", anchor_positions, "rows of the candidates")
    if anchor_positions.shape != labels.shape:
        raise ValueError(
            f"anchor_positions must have shape (batch,) with batch = {len(labels)}, got "
            f"{tuple(anchor_positions.shape)}: one row of the candidates for each anchor."
        )
    _check_device("anchor_positions", anchor_positions, embeddings)
    size = len(candidate_labels)
    _check_range("anchor_positions", anchor_positions, size, f"there are {size} candidates")
    if anchor_positions.device.type != "cpu":
        return
    differing = (candidate_labels[anchor_positions.long()] != labels).nonzero()
    if len(differing):
        anchor = differing[0].item()
        position = anchor_positions[anchor].item()
        raise ValueError(
            f"anchor_positions says that anchor {anchor} is candidate {position}, but their labels are "
            f"{labels[anchor].item()} and {candidate_labels[position].item()}."
        )


def _check_floating(name: str, tensor: Tensor) -> None:
    if not torch.is_tensor(tensor):
        raise TypeError(f"{name} must be a tensor, got {type(tensor).__name__}.")
    if not tensor.is_floating_point():
        raise TypeError(f"{name} must be floating point, got {tensor.dtype}.")


def _check_integers(name: str, tensor: Tensor, meaning: str) -> None:
    if not torch.is_tensor(tensor):
        raise TypeError(f"{name} must be a tensor, got {type(tensor).__name__}.")
    if tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool:
        raise TypeError(f"{name} must be {meaning} (integers), got {tensor.dtype}.")


def _check_device(name: str, tensor: Tensor, embeddings: Tensor) -> None:
    if tensor.device != embeddings.device:
        raise ValueError(
            f"{name} must be on the device of embeddings, {embeddings.device}, got {tensor.device}: use "
            f"{name}.to(embeddings.device)."
        )


def _check_range(name: str, values: Tensor, size: int, reason: str) -> None:
    if values.device.type != "cpu" or not len(values):
        return
    values = values.long()
    smallest, largest = values.aminmax()
    if smallest.item() < 0 or largest.item() >= size:
        row = ((values < 0) | (values >= size)).nonzero()[0].item()
        raise ValueError(f"{name} must be in [0, {size}), because {reason}; got {values[row].item()} in row {row}.")
