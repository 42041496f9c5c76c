"""From a finished classifier and labelled texts to the report about it."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from datasets import Dataset
from transformers import PreTrainedTokenizerBase
from transformers.utils import logging

from ...data.fingerprint import fingerprint
from ...model.classes import OUT_OF_SCOPE, class_names, fitted_class
from ...model.modeling import LCLForSequenceClassification
from ...support.files import staged, write_whole
from ..calibration import fold_temperature, folded_temperature
from ..finished import is_standard, load_finished, load_training_model, log_history
from ..inference import ModelOutputs, run_model
from ..plots.fonts import missing_fonts
from ..summary import FOLDER, read_summary, write_summary
from ..thresholds import REMARK, unfolded
from . import deciding, sections, several_labels
from .glance import glance, headline
from .page import render_page
from .sections import Evaluated


logger = logging.get_logger(__name__)

AS_LEARNED = f"Thresholds are folded into this classifier: {REMARK}. These are the probabilities before that. "
MOST_TRAINED = 5000  # training texts that are embedded, drawn at random if there are more


def write_report(
    output_dir: str | Path,
    test: Dataset,
    validation: Dataset | None = None,
    *,
    tokenizer: PreTrainedTokenizerBase,
    split: str = "test",
    batch_size: int = 32,
    fold: bool = False,
    model: LCLForSequenceClassification | None = None,
    texts: Sequence[str] = (),
    out_of_scope: Dataset | None = None,
    train: Dataset | None = None,
) -> Path:
    """
    Writes `report/` into the folder of any finished sequence classifier: `index.html` with all pictures in it, each
    picture as PNG for light and dark pages, the numbers as CSV, and `summary.json`. If `texts` are given, the page
    quotes a few that were misread; no other file holds a text, and the page is never published.

    Training curves need a `trainer_state.json` in the folder or in its last `checkpoint-*`. Label relations are those
    of the weighting network in the folder or that checkpoint, if it has learned any, else of the classifier. The page,
    whose path is returned, says what is missing.

    Args:
        output_dir (`str` or `Path`): the folder.
        test (`datasets.Dataset`): tokenised rows with `labels`, see [`tokenize_texts`] and [`encode_labels`].
        validation (`datasets.Dataset`, *optional*): more such rows, for the temperature and the label relations of the
            classifier.
        tokenizer (`PreTrainedTokenizerBase`): pads the batches.
        split (`str`, *optional*, defaults to `"test"`): the name of the split that is given as `test`.
        batch_size (`int`, *optional*, defaults to 32): texts per batch.
        fold (`bool`, *optional*, defaults to `False`): whether to divide the last layer of the classifier in the
            folder by the temperature, and save it, if that lowers the calibration error on `test`. The report is about
            the classifier before that.
        model ([`LCLForSequenceClassification`], *optional*): the model of the folder, if it is in memory already, or
            was loaded with `trust_remote_code`.
        texts (`Sequence[str]`, *optional*): the raw texts of `test`.
        out_of_scope (`datasets.Dataset`, *optional*): tokenised texts of none of the classes, to measure how well
            scores separate them from `test`.
        train (`datasets.Dataset`, *optional*): the training texts with `labels`, which some of these scores need.

    Raises:
        ImportError: if matplotlib is not installed.
        ValueError: if there is no model, or for `fold` without `validation`, without a standard classifier, or with
            folded thresholds.

    Example:

    ```python
    >>> from hf_lcl.evaluation.report import write_report

    >>> write_report("runs/feelings", splits["test"], splits["validation"], tokenizer=tokenizer)
    PosixPath('runs/feelings/report/index.html')
    ```
    """
    output_dir = Path(output_dir)
    if model is None:
        model, _ = load_finished(output_dir, may_have_several_labels=True)
    if fold:
        _check_fold(output_dir, model, validation)
    config, names = model.native.config, class_names(model.config)
    has_cuts = bool(getattr(config, "folded_thresholds", None))
    run = partial(run_model, tokenizer=tokenizer, batch_size=batch_size)

    def evaluated(dataset: Dataset, split: str, texts: Sequence[str] = ()) -> Evaluated:
        labels = dataset.with_format("numpy")["labels"][:]
        return Evaluated(split, labels, run(model, dataset, description=split), names, texts)

    on_test = evaluated(test, split, texts)
    on_validation = None if validation is None else evaluated(validation, "validation")

    results, facts = sections.results(on_test)
    # Scores after folding thresholds are not probabilities: calibration is measured on those before folding.
    learned = on_test.with_outputs(logits=unfolded(on_test.outputs.logits, config))
    validated = on_validation and on_validation.with_outputs(logits=unfolded(on_validation.outputs.logits, config))
    # The logit of a class that was added was never divided.
    folded = 1.0 if fitted_class(config) else folded_temperature(config)
    calibration, found = sections.calibration(learned, validated, AS_LEARNED if has_cuts else "", folded, fold)
    folds = fold and (found["temperature"] != folded if folded != 1 else found["error_after"] < found["error_before"])
    found["folded"] |= folds
    if on_test.has_several_labels:
        of_classes = several_labels.labels_together(on_test, learned)
        of_classes.append(several_labels.thresholds(on_test, has_cuts))
        decisions = []
    else:
        fitted = fitted_class(config)
        num_known = len(names) - bool(fitted)
        weighted, remark = _with_weighting_logits(on_test, test, output_dir, run)
        known_validation = on_validation and on_validation.of_first(num_known)
        relations = sections.relations(weighted.of_first(num_known), known_validation, remark)
        of_classes = [sections.confusion(on_test), relations, sections.embeddings(on_test)]
        foreign = None if out_of_scope is None else run(model, out_of_scope, description="out of scope")
        known_classes = [label for label, name in enumerate(names) if name != OUT_OF_SCOPE]
        # Without further texts, a learned class is like the others.
        has_others = foreign is not None or (fitted and not np.isin(on_test.references, known_classes).all())
        trained = None
        if train is not None and has_others:
            some = train.shuffle(seed=0).select(range(min(len(train), MOST_TRAINED)))
            trained = evaluated(some, "training texts")
        told, scores = deciding.scope(on_test, known_classes, foreign, trained, fitted) if has_others else ([], {})
        asked, cuts = deciding.selective(on_test, on_validation)
        decisions = [asked, *told]
        facts |= cuts | scores

    facts |= {"split": split, "rows": len(test)}
    facts["fingerprints"] = {split: fingerprint(test, ("input_ids", "labels"))}
    before = read_summary(output_dir) or {}
    if before.get("fingerprints") == facts["fingerprints"] and "baselines" in before:
        facts["baselines"] = before["baselines"]
    curves = sections.training_curves(log_history(output_dir))
    parts = [glance(on_test, facts), results, *of_classes, calibration, *decisions, curves]
    footer = (
        f"{type(model.native).__name__} with {len(names)} classes. Fingerprint of the tokens and labels of the "
        f"{split} texts: {facts['fingerprints'][split]}.{' The quoted texts are never published.' if texts else ''}"
    )
    if fonts := missing_fonts("".join(names)):
        lack = f"No installed font has all letters of the class names: the pictures need {' and '.join(fonts)}."
        logger.warning(lack)
        footer += f" {lack}"

    page = output_dir / FOLDER / "index.html"
    write_whole(page, render_page(output_dir.absolute().name, headline(on_test), parts, page.parent, footer))
    if folds:
        fold_temperature(model.native, found["temperature"] / folded)
        with staged(output_dir) as whole:
            model.to_sequence_classifier().save_pretrained(whole)
    pictures = {part.title: f"{FOLDER}/{name}.png" for part in parts for name in part.pictures}
    write_summary(output_dir, facts | {"calibration": found, "pictures": pictures})
    return page


def _check_fold(folder: Path, model: LCLForSequenceClassification, validation: Dataset | None) -> None:
    """Raises a `ValueError` if no temperature can be folded into the classifier in a folder."""
    if validation is None:
        raise ValueError("A temperature is fitted on a validation split: give --validation_file.")
    if not is_standard(folder, model):
        raise ValueError(f"{folder} holds no standard classifier that could be divided by a temperature.")
    if fitted_class(model.native.config):
        raise ValueError(f"{folder} was calibrated with its class {OUT_OF_SCOPE}: leave --fold_temperature out.")
    if getattr(model.native.config, "folded_thresholds", None):
        raise ValueError(f"{folder} has folded thresholds: {REMARK}. Leave --fold_temperature out.")


def _with_weighting_logits(
    on_test: Evaluated, test: Dataset, folder: Path, run: Callable[..., ModelOutputs]
) -> tuple[Evaluated, str]:
    """The texts with the weighting logits of the training model in the last checkpoint, if need be, and a remark."""
    if on_test.outputs.weighting_logits is not None:
        return on_test, ""
    model = load_training_model(folder)
    if model is None or model.config.weighting == "none":
        return on_test, (
            "There is no weighting network here. Only the objective lcl trains one, and it is in the training model "
            "of a checkpoint-*, not in the finished classifier."
        )
    outputs = run(model, test, description="label relations")
    remark = "The weighting network is that of the last checkpoint."
    return on_test.with_outputs(weighting_logits=outputs.weighting_logits), remark
