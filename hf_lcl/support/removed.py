"""Training arguments of earlier versions, and what to write instead. Imports nothing heavy."""

from collections.abc import Iterable


# Arguments that did not improve any measured result, and what to write instead.
REMOVED_ARGUMENTS = {
    "ce_on_views": "leave it out: cross-entropy counts each text once",
    "classes_per_batch": "use samples_per_class: a batch holds as many classes as fit",
    "confusable_share": "use sampler='balanced', which is as accurate",
    "focal_gamma": "use class_weights='balanced' where rare classes should count more",
    "logit_adjustment_tau": "use class_weights='balanced', which did as well",
    "oversample": "use class_weights='balanced'",
    "queue_size": "use a larger per_device_train_batch_size, with mini_batch_size where memory is short",
    "queue_warmup_steps": "leave it out, as queue_size",
    "temperature_scaling": "pass a temperature per anchor to the loss functions",
    "two_phase": "write objective='scl', alpha=0, head_start=False, head_refit=True",
    "view_rate": "leave it out: view='column' takes what tokenize_texts(..., view_function=...) makes of a text",
    "weight_placement": "examples/paper/reproduce_paper.py has the formula that the paper prints",
}


def refuse_removed(names: Iterable[str]) -> None:
    """Raises a `TypeError` if one of `names` was removed; it says what to write instead."""
    for name in REMOVED_ARGUMENTS.keys() & set(names):
        raise TypeError(f"{name} was removed: {REMOVED_ARGUMENTS[name]}.")
