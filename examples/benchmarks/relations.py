#!/usr/bin/env python
"""
Are the label relations that LCL learns real? Compares the relations that its weighting network assigns to held-out
texts (validation) with the confusion matrix on other texts (test), and with the similarity of the class names in
the encoder before fine-tuning. And are the mistakes of LCL closer to the truth than those of cross-entropy?

    python examples/benchmarks/relations.py --encoder sentence-transformers/all-MiniLM-L6-v2 --data_dir data \
        --datasets goemotions empathetic_dialogues --max_train_samples 6000 --results relations.jsonl

Both objectives train on the same texts, from the same start, for the same number of steps. A finished training is one
line of the results; a rerun skips it. The tables are printed, and written beside the results.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset, DatasetDict
from environment import listed, machine, versions
from sklearn.metrics import accuracy_score, confusion_matrix
from sklearn.metrics.pairwise import cosine_similarity
from study.cells import Cell, Task, load_cell
from study.closeness import agreement, closeness_of_mistakes, difference
from study.systems import ours, train_ours
from tqdm import tqdm
from transformers import AutoTokenizer

from hf_lcl import LCLForSequenceClassification, tokenize_texts
from hf_lcl.commands.exits import one_line_errors
from hf_lcl.commands.parsing import parse_arguments
from hf_lcl.data.fingerprint import fingerprint
from hf_lcl.evaluation import label_relations
from hf_lcl.evaluation.inference import run_model
from hf_lcl.evaluation.ledger import Ledger


sys.path.append(str(Path(__file__).parents[1] / "paper"))  # the recipes of the data sets
from recipes import get_recipe, recipe_names


OBJECTIVES = ("ce", "lcl")
# Sources of label relations: the objective of the training, and the key in the results of a run.
OPINIONS = {
    "LCL's weighting network": ("lcl", "weighting"),
    "LCL's classifier": ("lcl", "classifier"),
    "CE's classifier": ("ce", "classifier"),
}


@dataclass
class Settings:
    """Encoder, data and training."""

    encoder: str = field(metadata={"help": "Hub id or folder of the encoder."})
    results: Path = field(metadata={"help": "JSON lines of finished trainings; the tables get the same name."})
    encoder_name: str | None = field(
        default=None, metadata={"help": "Its name in the results; defaults to the last part of --encoder."}
    )
    data_dir: str | None = field(default=None, metadata={"help": "Folder of the data sets; defaults to the Hub."})
    datasets: list[str] = field(
        default_factory=lambda: ["goemotions", "empathetic_dialogues"], metadata={"help": "Data sets, by recipe."}
    )
    seeds: list[int] = field(default_factory=lambda: [0], metadata={"help": "One training per seed."})
    max_train_samples: int = field(default=6000, metadata={"help": "Train on this many random texts."})
    num_train_epochs: int = field(default=3, metadata={"help": "Epochs."})
    learning_rate: float = field(default=1e-4, metadata={"help": "Peak learning rate."})
    batch_size: int = field(default=32, metadata={"help": "Texts in a batch."})
    max_seq_length: int = field(default=128, metadata={"help": "Longer texts are cut to this many tokens."})
    bf16: bool = field(default=False, metadata={"help": "Use bfloat16 mixed precision."})

    def __post_init__(self):
        unknown = set(self.datasets) - set(recipe_names())
        if unknown:
            raise ValueError(f"--datasets {min(unknown)} is unknown: use some of {', '.join(recipe_names())}.")
        self.encoder_name = self.encoder_name or Path(self.encoder).name


def main(argv: list[str] | None = None) -> None:
    (settings,) = parse_arguments((Settings,), argv)
    ledger = Ledger(settings.results)
    planned = [
        settings_of(settings, dataset, objective, seed)
        for seed in settings.seeds
        for dataset in settings.datasets
        for objective in OBJECTIVES
    ]
    for run in (progress := tqdm([run for run in planned if run not in ledger], desc="trainings")):
        progress.set_postfix_str(f"{run['objective']} on {run['data']}, seed {run['seed']}")
        ledger.add(run, train(settings, run))
    table = markdown(settings, [run for run in ledger.runs() if run["settings"] in planned])
    settings.results.with_suffix(".md").write_text(table, encoding="utf-8")
    print(table)


def settings_of(settings: Settings, dataset: str, objective: str, seed: int) -> dict[str, Any]:
    """The settings that identify a training."""
    names = ("max_train_samples", "num_train_epochs", "learning_rate", "batch_size", "max_seq_length", "bf16")
    default = {"stop_when_learned": True, "names_in_batches": "if they say more"} if objective == "lcl" else {}
    return {
        "data": dataset,
        "objective": objective,
        "seed": seed,
        "encoder": settings.encoder_name,
        **{name: getattr(settings, name) for name in names},
        # LCL as by default; cross-entropy gets the same start.
        "options": ours(objective=objective, distill_mean=True, head_start=True, keeps_tokens=True, **default).options,
    }


def train(settings: Settings, run: dict[str, Any]) -> dict[str, Any]:
    """Trains, and returns predictions and label relations on held-out texts."""
    cell = Cell(run["data"], run["num_train_epochs"], run["learning_rate"], run["batch_size"])
    splits = load_cell(cell, settings.data_dir, "test", run["seed"])
    train = splits["train"].shuffle(seed=run["seed"])
    splits["train"] = train.select(range(min(run["max_train_samples"], len(train))))
    task = Task(settings.encoder, cell, splits, run["seed"], run["bf16"], run["max_seq_length"])
    trainer, tokens = train_ours(task, **run["options"])
    outputs = {
        name: run_model(trainer.model, tokens[name], trainer.processing_class, description=name)
        for name in ("validation", "test")
    }
    labels = {name: np.array(splits[name]["label"][:]) for name in outputs}
    opinions = {"classifier": outputs["validation"].logits, "weighting": outputs["validation"].weighting_logits}
    return {
        "references": labels["test"].tolist(),
        "predictions": outputs["test"].logits.argmax(axis=1).tolist(),
        "relations": {
            name: label_relations(logits, labels["validation"]).round(5).tolist()
            for name, logits in opinions.items()
            if logits is not None
        },
        "seconds": round(trainer.state.log_history[-1]["train_runtime"], 1),
        "fingerprints": {name: fingerprint(split) for name, split in splits.items()},
        "machine": machine(),
        "versions": versions(),
    }


def word_similarity(encoder: str, names: list[str]) -> np.ndarray:
    """Cosine similarities of the class names in the encoder before fine-tuning, by mean pooling."""
    tokenizer = AutoTokenizer.from_pretrained(encoder)
    words = Dataset.from_dict({"text": [name.replace("_", " ") for name in names]})
    model = LCLForSequenceClassification.from_encoder(encoder, num_labels=len(names), pooling="mean", weighting="none")
    tokens = tokenize_texts(DatasetDict(words=words), tokenizer)["words"]
    with torch.inference_mode():
        return cosine_similarity(run_model(model, tokens, tokenizer, description="class names").embeddings)


def markdown(settings: Settings, runs: list[dict[str, Any]]) -> str:
    """All results as a markdown page."""
    relations = ["| data | opinion | agrees with confusion: ρ | p | agrees with class names: ρ | p |", _RULE]
    mistakes = [
        "| data | trained with | test accuracy | mistakes | closeness of mistakes |",
        "|---|---|---:|---:|---:|",
    ]
    differences = []
    for dataset in settings.datasets:
        trained = {
            objective: [
                run for run in runs if (run["settings"]["data"], run["settings"]["objective"]) == (dataset, objective)
            ]
            for objective in OBJECTIVES
        }
        words = word_similarity(settings.encoder, get_recipe(dataset).classes)
        confusion = {objective: mean_confusion(trained[objective], len(words)) for objective in OBJECTIVES}
        for name, (objective, key) in OPINIONS.items():
            opinion = np.mean([run["relations"][key] for run in trained[objective]], axis=0)
            relations.append(_agreements(dataset, name, opinion, confusion[objective], words))
        for objective in OBJECTIVES:
            name = f"confusion of {objective.upper()}"
            relations.append(_agreements(dataset, name, confusion[objective], None, words))
        closeness = {}
        for objective in OBJECTIVES:
            references, predictions = (
                np.array([run[key] for run in trained[objective]]) for key in ("references", "predictions")
            )
            closeness[objective] = closeness_of_mistakes(references, predictions, words)
            mistakes.append(
                f"| {dataset} | {objective.upper()} | {accuracy_score(references.ravel(), predictions.ravel()):.1%} "
                f"| {(references != predictions).sum()} | {np.nanmean(closeness[objective]):.3f} |"
            )
        mistakes.append(f"| {dataset} | any two classes | | | {words[np.triu_indices(len(words), k=1)].mean():.3f} |")
        gap = difference(closeness["lcl"], closeness["ce"])
        differences.append(
            f"- {dataset}: {gap.mean:+.4f} (95 % interval {gap.low:+.4f} to {gap.high:+.4f}, p = {gap.p_value:.3f})"
        )
    at = runs[0]
    return "\n".join(
        [
            "# Are the learned label relations real?",
            "",
            f"{settings.encoder_name}, {settings.max_train_samples} training texts, {settings.num_train_epochs} "
            f"epochs, seeds {', '.join(map(str, settings.seeds))}; options and figures of each training: "
            f"`{settings.results.name}`.",
            "",
            "Spearman's ρ over all pairs of classes; p by Mantel's test (classes in random order, one-sided, 9,999 "
            "times). Opinions are means over validation texts, confusions are shares of test texts of the same model.",
            "",
            *relations,
            "",
            "Closeness of a mistake: cosine of the names of the true and the predicted class, in the encoder before "
            "training.",
            "",
            *mistakes,
            "",
            "LCL's mistakes less CE's, in closeness (bootstrap over texts; swaps of the two systems):",
            "",
            *differences,
            "",
            f"{at['machine']['device']}; {listed(at['versions'])}.",
            "",
        ]
    )


_RULE = "|---|---|---:|---:|---:|---:|"


def mean_confusion(runs: list[dict[str, Any]], num_labels: int) -> np.ndarray:
    """Mean confusion matrix of all runs: for each true class (row), the shares of the predicted classes."""
    return sum(
        confusion_matrix(run["references"], run["predictions"], labels=range(num_labels), normalize="true")
        for run in runs
    ) / len(runs)


def _agreements(dataset: str, name: str, opinion: np.ndarray, confusion: np.ndarray | None, words: np.ndarray) -> str:
    cells = []
    for other in (confusion, words):
        found = None if other is None else agreement(opinion, other)
        cells += ["", ""] if found is None else [f"{found.correlation:.2f}", f"{found.p_value:.4f}"]
    return f"| {dataset} | {name} | {' | '.join(cells)} |"


if __name__ == "__main__":
    with one_line_errors():
        main()
