"""
Input checks of the two loss functions, whose messages say what was given and what is allowed.

Shapes, dtypes and devices cost nothing to check. Checking values has to wait for a GPU, so all values are checked on
the device and read at once, before the loss is computed. A compiled function does not check them.
"""

import math
from collections.abc import Callable
from numbers import Real
from typing import Any

import torch
from torch import Tensor


REDUCTIONS = ("mean", "sum", "none")
# 1 / temperature has to be a finite fp32 number.
SMALLEST_TEMPERATURE = torch.finfo(torch.float32).tiny
ROWS_NAMED = 5
NO_VMAP = "The contrastive losses do not work under torch.vmap: call them in a loop."
SHAPES = {
    "embeddings": ("batch", "hidden"),
    "labels": ("batch",),
    "weighting_logits": ("batch", "num_labels"),
    "candidate_embeddings": ("candidates", "hidden"),
    "candidate_labels": ("candidates",),
    "anchor_positions": ("batch",),
}
INTEGERS = ("labels", "candidate_labels", "anchor_positions")
# Of texts with several labels each.
INDICATORS = {"labels": ("batch", "num_labels"), "candidate_labels": ("candidates", "num_labels")}
OPTIONAL = ("candidate_embeddings", "candidate_labels", "anchor_positions")


def check_inputs(inputs: dict[str, Tensor | None], temperature: float | Tensor, reduction: str) -> None:
    """Raises a `ValueError` or `TypeError` for invalid options, and for tensors (by name) that do not match."""
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction={reduction!r} is unknown: use one of {', '.join(map(repr, REDUCTIONS))}.")
    known: dict[str, Any] = {}
    labels = inputs["labels"]
    shapes = SHAPES | (INDICATORS if torch.is_tensor(labels) and labels.ndim == 2 else {})
    given = {
        name: _checked(name, tensor, shapes[name], known)
        for name, tensor in inputs.items()
        if tensor is not None or name not in OPTIONAL
    }
    has_candidates = any(name in given for name in OPTIONAL)
    if has_candidates and not ("candidate_embeddings" in given and "candidate_labels" in given):
        raise ValueError(
            "candidate_embeddings and candidate_labels belong together, and anchor_positions are rows of both: give "
            "all that there is, or leave out all three."
        )
    name = "candidate_embeddings" if has_candidates else "embeddings"
    embeddings, compared = given["embeddings"], given[name]
    if not compared.numel():
        raise ValueError(f"There is nothing to compare with: {name} is empty, of shape {tuple(compared.shape)}.")
    if compared.dtype != embeddings.dtype:
        raise TypeError(f"{name} must have the dtype of embeddings, {embeddings.dtype}, got {compared.dtype}.")
    if not torch.is_tensor(temperature):
        check_temperature(temperature)
    elif not temperature.is_floating_point() or tuple(temperature.shape) not in ((), (1,), (len(embeddings),)):
        raise ValueError(
            f"temperature must be a number, or a floating point tensor of shape () or (batch,) with batch = "
            f"{len(embeddings)}, got {temperature.dtype} of shape {tuple(temperature.shape)}."
        )
    if not torch.compiler.is_compiling():
        _check_values(given, temperature)


def check_temperature(temperature: float) -> None:
    """Raises a `ValueError` for a temperature that fp32 cannot divide by."""
    if not (isinstance(temperature, Real) and SMALLEST_TEMPERATURE <= temperature < math.inf):
        raise ValueError(_about_temperature(temperature))


def rows_not_finite(name: str, tensor: Tensor) -> str | None:
    """A message that names the rows of a tensor `(rows, columns)` with NaN or infinity; `None` if there are none."""
    rows = (~tensor.isfinite()).any(dim=1).nonzero().flatten().tolist()
    if not rows:
        return None
    named = ", ".join(map(str, rows[:ROWS_NAMED])) + (", ..." if len(rows) > ROWS_NAMED else "")
    return (
        f"{name} holds NaN or infinity in {len(rows)} of {len(tensor)} rows ({named}): look for a learning rate that "
        "is too high, fp16 that overflows (bf16 does not), or bad input."
    )


def _checked(name: str, tensor: Any, shape: tuple[str, ...], known: dict[str, Any]) -> Tensor:
    """Returns the tensor if its device and sizes match `known`, those of earlier tensors, and adds them there."""
    must_be_integers, is_right_type = name in INTEGERS and len(shape) == 1, False
    if not torch.is_tensor(tensor):
        got = f"{tensor!r:.60}"
    else:
        is_integer = not (tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool)
        is_right_type = is_integer if must_be_integers else tensor.is_floating_point() or name in INTEGERS
        facts = dict(zip(("device", *shape), (tensor.device, *tensor.shape)))
        if is_right_type and tensor.ndim == len(shape) and all(known.setdefault(k, v) == v for k, v in facts.items()):
            return tensor
        got = f"{tensor.dtype} of shape {tuple(tensor.shape)} on {tensor.device}"
    kind = "an integer" if must_be_integers else "a 0/1" if name in INTEGERS else "a floating point"
    facts = {key: known[key] for key in ("device", *shape) if key in known}
    raise (ValueError if is_right_type else TypeError)(
        f"{name} must be {kind} tensor of shape ({', '.join(shape)}{',' * (len(shape) == 1)})"
        + "".join(f", {key} = {value}" for key, value in facts.items())
        + f"; got {got}."
    )


# A mask of the wrong rows, on their device, and a message on the first one; `None` if it is valid after all.
Check = tuple[Tensor, Callable[[int], str | None]]


def _check_values(given: dict[str, Tensor], temperature: float | Tensor) -> None:
    columns, reason = None, "a class id is not negative"
    if "weighting_logits" in given:
        columns = given["weighting_logits"].shape[1]
        reason = f"weighting_logits have {columns} columns"
    checks: list[Check] = []
    for name, tensor in given.items():
        if name == "weighting_logits":
            checks.append(_finite(name, tensor.logsumexp(dim=1, keepdim=True)))  # -inf in a row: a weight of 0
        elif name == "anchor_positions":
            size = len(given["candidate_labels"])
            checks.append(_in_range(name, tensor, size, f"there are {size} candidates"))
            checks.append(_same_labels(given["labels"], given["candidate_labels"], tensor))
        elif tensor.ndim == 2 and name in INTEGERS:
            checks.append(_indicators(name, tensor))
        elif name in INTEGERS:
            checks.append(_in_range(name, tensor, columns, reason))
        else:
            checks.append(_finite(name, tensor))
    if torch.is_tensor(temperature):
        numbers = temperature.detach().to(given["labels"].device).float().flatten()
        is_wrong = ~((numbers >= SMALLEST_TEMPERATURE) & (numbers < math.inf))
        checks.append((is_wrong, lambda row: _about_temperature(numbers[row].item())))
    try:
        is_fine = not torch.cat([is_wrong for is_wrong, _ in checks]).any()
    except RuntimeError as error:
        if "vmap" not in str(error):
            raise
        raise ValueError(NO_VMAP) from error
    for is_wrong, explain in [] if is_fine else checks:
        if is_wrong.any() and (problem := explain(int(is_wrong.nonzero()[0]))):
            raise ValueError(problem)


def _finite(name: str, tensor: Tensor) -> Check:
    # Sums need no matrix of booleans, but may overflow for finite rows, so `rows_not_finite` decides.
    sums = tensor.detach().sum(dim=1, dtype=torch.promote_types(tensor.dtype, torch.float32))
    return ~sums.isfinite(), lambda row: rows_not_finite(name, tensor)


def _in_range(name: str, values: Tensor, size: int | None, reason: str) -> Check:
    values = values.long()
    is_wrong = values < 0 if size is None else (values < 0) | (values >= size)
    allowed = "0 or more" if size is None else f"in [0, {size})"
    return is_wrong, lambda row: f"{name} must be {allowed}, because {reason}; got {values[row].item()} in row {row}."


def _indicators(name: str, rows: Tensor) -> Check:
    is_wrong = ((rows != 0) & (rows != 1)).any(dim=1)
    return is_wrong, lambda row: f"{name} must be 0 or 1 for each class; got {rows[row].tolist()!r:.60} in row {row}."


def _same_labels(labels: Tensor, candidate_labels: Tensor, positions: Tensor) -> Check:
    positions = positions.long().clamp(0, len(candidate_labels) - 1)
    others = candidate_labels[positions]
    differs = others != labels
    return (
        differs.any(dim=1) if labels.ndim == 2 else differs,
        lambda row: (
            f"anchor_positions says that anchor {row} is candidate {positions[row].item()}, but their labels are "
            f"{labels[row].tolist()} and {others[row].tolist()}."
        ),
    )


def _about_temperature(temperature: float) -> str:
    return (
        f"temperature={temperature!r} must be a positive, finite number of at least {SMALLEST_TEMPERATURE:.2g}; 0.05 "
        "to 0.5 is usual for cosines."
    )
