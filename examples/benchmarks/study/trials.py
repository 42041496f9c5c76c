"""Trials: one change to a system of this library at a time. Each is a row of a table of its own."""

from typing import Any

from .systems import START, System, anchored, named, ours


def changed(ingredient: str | None = None, **training: Any) -> System:
    """`lcl` with these changes."""
    return ours(ingredient=ingredient, objective="lcl", **START | training)


TRIALS = {
    "without distillation": changed(distill_mean=False),
    "few texts distilled 50 times": changed("LongDistillation"),
    "head start penalised": changed("PenalisedStart"),
    "cross-entropy, head start penalised": ours(ingredient="PenalisedStart", objective="ce", **START),
    "without names as texts": changed(names_as_texts=False),
    "head refit": changed(head_refit=True),
    "temperature 0.1": changed(temperature=0.1),
    "temperature 1": changed(temperature=1.0),
    "alpha 0.1": changed(alpha=0.1),
    "alpha 0.9": changed(alpha=0.9),
    "alpha 1, without contrast": changed(alpha=1.0),
    "cross-entropy, balanced batches": ours(objective="ce", sampler="balanced", **START),
    "alpha from 0.1 to 1": changed("RisingAlpha"),
    "two views, dropout": changed(num_views=2),
    "dimensions uncorrelated": changed("Uncorrelated"),
    "contrast that fades": changed("FadingContrast"),
    "scl, contrast that fades": ours(ingredient="FadingContrast", objective="scl", **START),
    "class centres": changed("ClassCentres"),
    "class centres among the candidates": changed("CentreCandidates"),
    "projection head": changed("Projection"),
    "weights detached": changed(detach_weights=True),
    "weighting head does not train the encoder": changed("LookingOn"),
    "projection head, weighting head does not train the encoder": changed("ProjectionLookingOn"),
    "weights fitted": changed("FittedWeights"),
    "weights fitted, detached": changed("FittedWeights", detach_weights=True),
    "weights a tenth alike": changed("MixedWeights"),
    "learning rate 5e-5": changed(learning_rate=5e-5),
    "learning rate 2e-4": changed(learning_rate=2e-4),
    # The learning rates that `train FILE` uses from 64 classes on, and for an encoder of width 768.
    "learning rate 2e-4, stops when learned": changed(learning_rate=2e-4, stop_when_learned=True),
    "learning rate 3e-5, stops when learned": changed(learning_rate=3e-5, stop_when_learned=True),
    "head 20 times as fast": changed("FastHead"),
    # One change to `lcl-learned`.
    "learning rate 4e-4, stops when learned": changed(learning_rate=4e-4, stop_when_learned=True),
    "projection head, stops when learned": changed("Projection", stop_when_learned=True),
    "mean pooling, stops when learned": ours({"pooling": "mean"}, objective="lcl", stop_when_learned=True, **START),
    "temperature 0.1, stops when learned": changed(temperature=0.1, stop_when_learned=True),
    "temperature 1, stops when learned": changed(temperature=1.0, stop_when_learned=True),
    "alpha 0.25, stops when learned": changed(alpha=0.25, stop_when_learned=True),
    "batches of all lengths, stops when learned": changed(group_lengths=False, stop_when_learned=True),
    "batches of more lengths, stops when learned": changed("WideJitter", stop_when_learned=True),
    "head start penalised, stops when learned": changed("PenalisedStart", stop_when_learned=True),
    "head start cross-validated, stops when learned": changed("CrossValidatedStart", stop_when_learned=True),
    "without head start, stops when learned": changed(head_start=False, stop_when_learned=True),
    "alpha from 0.1 to 1, stops when learned": changed("RisingAlpha", stop_when_learned=True),
    "contrast that fades, stops when learned": changed("FadingContrast", stop_when_learned=True),
    "near the start, stops when learned": changed("NearStart", stop_when_learned=True),
    "labels smoothed by relations, stops when learned": changed("RelatedLabels", stop_when_learned=True),
    "weights fitted, stops when learned": changed("FittedWeights", stop_when_learned=True),
    "names in training, stops when learned": named(),
    # One change to that.
    "names twice, stops when learned": named(["{}", "{}"]),
    "names in a sentence, stops when learned": named(["This text is about {}."]),
    "names alone and in a sentence, stops when learned": named(["{}", "This text is about {}."]),
    "alpha 0.25, names in training": named(alpha=0.25),
    "batches of all lengths, names in training": named(group_lengths=False),
    "cross-entropy, names in training": named(objective="ce", stop_when_learned=False),
    # One change to the default.
    "names in batches, not compared": anchored("NamesNotCompared"),
    "names in batches, temperature 0.3": anchored("WarmNames"),
    # The learning rate that `train FILE` uses for an encoder of width 768.
    "default, learning rate 3e-5": anchored(names_in_batches="if they say more", learning_rate=3e-5),
    "names in batches, learning rate 3e-5": anchored(learning_rate=3e-5),
    # Names that say nothing (four classes), in the batches nonetheless.
    "letters as names": anchored("LetterNames"),
    "unrelated nouns as names": anchored("NounNames"),
    "without names, stops when learned": changed(names_as_texts=False, stop_when_learned=True),
}
