"""
What the two loss functions refuse, each with a line that says what was given and what is allowed.

Shapes, dtypes and devices cost nothing to check. Values do: the program has to wait for a GPU. So all values are
judged on the device and read at once, before the loss is computed. In a compiled function they are not looked at.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor


REDUCTIONS = ("mean", "sum", "none")
# 1 / temperature has to be a finite fp32 number.
SMALLEST_TEMPERATURE = torch.finfo(torch.float32).tiny
ROWS_NAMED = 5
NO_VMAP = "The contrastive losses do not work under torch.vmap: call them in a loop."


def check_temperature(temperature: float) -> None:
    """Raises a `ValueError` for a temperature that fp32 cannot divide by."""
    if not SMALLEST_TEMPERATURE <= temperature < math.inf:
        raise ValueError(_about_temperature(temperature))


def check_inputs(
    embeddings: Tensor,
    labels: Tensor,
    candidate_embeddings: Tensor | None,
    candidate_labels: Tensor | None,
    anchor_positions: Tensor | None,
    temperature: float | Tensor,
    reduction: str,
) -> None:
    """Raises a `ValueError` or `TypeError` for inputs whose shapes, dtypes or devices do not fit, or wrong options."""
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction={reduction!r} is unknown: use one of {', '.join(map(repr, REDUCTIONS))}.")
    _check_floating("embeddings", embeddings)
    _check_integers("labels", labels, "class ids")
    if embeddings.ndim != 2 or labels.shape != embeddings.shape[:1]:
        raise ValueError(
            "embeddings must have shape (batch, hidden) and labels (batch,), got "
            f"{tuple(embeddings.shape)} and {tuple(labels.shape)}."
        )
    _check_device("labels", labels, embeddings)
    if not torch.is_tensor(temperature):
        check_temperature(temperature)
    elif not temperature.is_floating_point() or tuple(temperature.shape) not in ((), (1,), tuple(labels.shape)):
        raise ValueError(
            f"temperature must be a number, or a floating point tensor of shape () or (batch,) with batch = "
            f"{len(labels)}, got {temperature.dtype} of shape {tuple(temperature.shape)}."
        )
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
    if anchor_positions is None:
        return
    _check_integers("anchor_positions", anchor_positions, "rows of the candidates")
    if anchor_positions.shape != labels.shape:
        raise ValueError(
            f"anchor_positions must have shape (batch,) with batch = {len(labels)}, got "
            f"{tuple(anchor_positions.shape)}: one row of the candidates for each anchor."
        )
    _check_device("anchor_positions", anchor_positions, embeddings)


def check_weighting_logits(weighting_logits: Tensor, embeddings: Tensor) -> None:
    """Raises a `ValueError` or `TypeError` for anything but weighting logits `(batch, num_labels)`."""
    if not torch.is_tensor(weighting_logits) or not weighting_logits.is_floating_point():
        raise TypeError(
            f"weighting_logits must be a floating point tensor, got {weighting_logits!r:.60}: a model with "
            'weighting="none" has none.'
        )
    if weighting_logits.ndim != 2 or len(weighting_logits) != len(embeddings) or not weighting_logits.shape[1]:
        raise ValueError(
            f"weighting_logits must have shape (batch, num_labels) with batch = {len(embeddings)}, got "
            f"{tuple(weighting_logits.shape)}."
        )
    _check_device("weighting_logits", weighting_logits, embeddings)


def check_values(
    embeddings: Tensor,
    labels: Tensor,
    weighting_logits: Tensor | None,
    candidate_embeddings: Tensor | None,
    candidate_labels: Tensor | None,
    anchor_positions: Tensor | None,
    temperature: float | Tensor,
) -> None:
    """Raises a `ValueError` for labels, positions, temperatures or numbers that are out of range, after one read."""
    if torch.compiler.is_compiling():
        return
    columns = None if weighting_logits is None else weighting_logits.shape[1]
    reason = "a class id is not negative" if columns is None else f"weighting_logits have {columns} columns"
    facts = [_in_range("labels", labels, columns, reason), _finite("embeddings", embeddings)]
    if weighting_logits is not None:
        facts.append(_finite("weighting_logits", weighting_logits.amax(dim=1, keepdim=True)))  # -inf: a weight of 0
    if torch.is_tensor(temperature):
        facts.append(_usable_temperature(temperature.detach().to(labels.device)))
    if candidate_embeddings is not None and candidate_labels is not None:
        facts.append(_in_range("candidate_labels", candidate_labels, columns, reason))
        facts.append(_finite("candidate_embeddings", candidate_embeddings))
        if anchor_positions is not None:
            size = len(candidate_labels)
            facts.append(_in_range("anchor_positions", anchor_positions, size, f"there are {size} candidates"))
            facts.append(_same_labels(labels, candidate_labels, anchor_positions))
    try:
        is_fine = bool(torch.stack([fact for fact, _ in facts]).all())
    except RuntimeError as error:
        if "vmap" not in str(error):
            raise
        raise ValueError(NO_VMAP) from error
    for fact, explain in [] if is_fine else facts:
        if not fact and (problem := explain()):
            raise ValueError(problem)


def rows_not_finite(**tensors: Tensor | None) -> str | None:
    """Says which rows of `tensors`, each `(rows, columns)`, hold NaN or infinity; `None` where none does."""
    for name, tensor in tensors.items():
        if tensor is None or tensor.isfinite().all():
            continue
        rows = (~tensor.isfinite()).any(dim=1).nonzero().flatten().tolist()
        named = ", ".join(map(str, rows[:ROWS_NAMED])) + (", ..." if len(rows) > ROWS_NAMED else "")
        return (
            f"{name} holds NaN or infinity in {len(rows)} of {len(tensor)} rows ({named}): look for a learning rate "
            "that is too high, fp16 that overflows (bf16 does not), or bad input."
        )
    return None


# Whether a value is fine, on its device, and what to say where it is not.
Fact = tuple[Tensor, Callable[[], str | None]]


def _finite(name: str, tensor: Tensor) -> Fact:
    # A sum needs no matrix of booleans. It may overflow where all is finite, so `rows_not_finite` has the last word.
    total = tensor.detach().sum(dtype=torch.promote_types(tensor.dtype, torch.float32))
    return total.isfinite(), lambda: rows_not_finite(**{name: tensor})


def _in_range(name: str, values: Tensor, size: int | None, reason: str) -> Fact:
    wrong = values.long() < 0
    if size is not None:
        wrong |= values.long() >= size

    def explain() -> str:
        row = int(wrong.nonzero()[0])
        allowed = "0 or more" if size is None else f"in [0, {size})"
        return f"{name} must be {allowed}, because {reason}; got {values[row].item()} in row {row}."

    return ~wrong.any(), explain


def _same_labels(labels: Tensor, candidate_labels: Tensor, anchor_positions: Tensor) -> Fact:
    positions = anchor_positions.long().clamp(0, len(candidate_labels) - 1)
    differing = candidate_labels[positions] != labels

    def explain() -> str:
        anchor = int(differing.nonzero()[0])
        return (
            f"anchor_positions says that anchor {anchor} is candidate {positions[anchor].item()}, but their labels "
            f"are {labels[anchor].item()} and {candidate_labels[positions[anchor]].item()}."
        )

    return ~differing.any(), explain


def _usable_temperature(temperature: Tensor) -> Fact:
    numbers = temperature.float().flatten()
    wrong = ~((numbers >= SMALLEST_TEMPERATURE) & (numbers < math.inf))
    return ~wrong.any(), lambda: _about_temperature(numbers[wrong][0].item())


def _about_temperature(temperature: float) -> str:
    return (
        f"temperature={temperature} must be positive, finite and at least {SMALLEST_TEMPERATURE:.2g}; 0.05 to 0.5 "
        "is usual for cosines."
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
