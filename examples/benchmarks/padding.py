#!/usr/bin/env python
"""
How much of a batch is padding, and how many of its texts have a positive? Compares random order with
`LabelBalancedSampler`, without and with `lengths`.

    python examples/benchmarks/padding.py --data_dir data \
        --model_name_or_path sentence-transformers/all-MiniLM-L6-v2

`data` holds one folder per data set with a `train.jsonl.gz`: one `text` and `label` per line. Nothing is trained: the
figures are counts of tokens and labels, and depend on chance only through the order of the texts.

Prints the table, and writes it to `padding.md` and `padding.json`.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean

import numpy as np
from environment import listed, versions
from transformers import AutoTokenizer

from hf_lcl import LabelBalancedSampler, encode_labels, load_splits, tokenize_texts
from hf_lcl.commands.exits import one_line_errors
from hf_lcl.commands.parsing import parse_arguments
from hf_lcl.data.lengths import token_counts


# Largest share of padding tokens, on each of these data sets.
GOAL, GOAL_SETS = 0.1, ("sst5", "goemotions", "ag_news_subset")
COLUMNS = {
    "padding": "padding",
    "valid_anchors": "texts with a positive",
    "classes_per_batch": "classes per batch",
    "new_positives": "positives new after the first epoch",
}


@dataclass
class Settings:
    """The data, the tokenizer and the number of epochs."""

    data_dir: Path = field(metadata={"help": "Folder with a folder per data set."})
    model_name_or_path: str = field(metadata={"help": "Hub id or folder of the tokenizer."})
    batch_size: int = field(default=32, metadata={"help": "Texts in a batch."})
    max_length: int = field(default=128, metadata={"help": "Longer texts are cut to this many tokens."})
    epochs: int = field(default=5, metadata={"help": "Epochs to average over."})
    output_dir: Path = field(
        default=Path(__file__).parents[1] / "results", metadata={"help": "Folder of the .json and the .md file."}
    )

    def __post_init__(self):
        if self.epochs < 2:
            raise ValueError(f"epochs={self.epochs} says nothing about what is new after the first: use 2 or more.")


def main(argv: list[str] | None = None) -> None:
    (settings,) = parse_arguments((Settings,), argv)
    files = sorted(settings.data_dir.glob("*/train.jsonl.gz"))
    if not files:
        raise ValueError(f"{settings.data_dir} has no folder with a train.jsonl.gz in it.")
    report = {
        "goal": {"padding": GOAL, "data_sets": GOAL_SETS},
        "settings": {name: getattr(settings, name) for name in ("batch_size", "max_length", "epochs")},
        "versions": versions(),
        "data_sets": {file.parent.name: measure(file, settings) for file in files},
    }
    table = markdown(report)
    settings.output_dir.mkdir(parents=True, exist_ok=True)
    (settings.output_dir / "padding.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    (settings.output_dir / "padding.md").write_text(table, encoding="utf-8")
    print(table)


def measure(file: Path, settings: Settings) -> dict[str, dict[str, float]]:
    """The figures of a data set for each order."""
    splits, _ = encode_labels(load_splits({"train": file}))
    tokenizer = AutoTokenizer.from_pretrained(settings.model_name_or_path)
    train = tokenize_texts(splits, tokenizer, max_length=settings.max_length)["train"]
    labels, lengths = np.array(train["labels"][:]), token_counts(train)
    balanced = LabelBalancedSampler(labels, settings.batch_size)
    by_length = LabelBalancedSampler(labels, settings.batch_size, lengths=lengths)
    rng = np.random.default_rng(0)
    orders = {
        "random": [rng.permutation(len(labels)) for _ in range(settings.epochs)],
        "balanced": [order_of(balanced, epoch) for epoch in range(settings.epochs)],
        "balanced, by length": [order_of(by_length, epoch) for epoch in range(settings.epochs)],
    }
    return {name: figures(order, labels, lengths, settings.batch_size) for name, order in orders.items()}


def order_of(sampler: LabelBalancedSampler, epoch: int) -> np.ndarray:
    sampler.set_epoch(epoch)
    return np.array(list(sampler))


def figures(orders: list[np.ndarray], labels: np.ndarray, lengths: np.ndarray, batch_size: int) -> dict[str, float]:
    """Averages the figures over all batches of all epochs."""
    batches = [[order[start : start + batch_size] for start in range(0, len(order), batch_size)] for order in orders]
    all_batches = [batch for epoch in batches for batch in epoch]
    counts = [np.unique(labels[batch], return_counts=True)[1] for batch in all_batches]
    positives = [np.concatenate([pairs(batch, labels) for batch in epoch]) for epoch in batches]
    new = [~np.isin(later, np.concatenate(positives[:epoch])) for epoch, later in enumerate(positives) if epoch > 0]
    return {
        "padding": 1
        - sum(map(sum, (lengths[batch] for batch in all_batches)))
        / sum(len(batch) * lengths[batch].max() for batch in all_batches),
        "valid_anchors": sum(count[count > 1].sum() for count in counts) / sum(map(len, all_batches)),
        "classes_per_batch": mean(map(len, counts)),
        "new_positives": mean(share.mean() for share in new),
    }


def pairs(batch: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Numbers that identify the pairs of texts in a batch that share a class."""
    first, second = np.triu_indices(len(batch), k=1)
    first, second = np.minimum(batch[first], batch[second]), np.maximum(batch[first], batch[second])
    return (first * len(labels) + second)[labels[first] == labels[second]]


def markdown(report: dict) -> str:
    """The report as a markdown page."""
    settings, data_sets = report["settings"], report["data_sets"]
    verdicts = [
        f"{name} {'reached' if data_sets[name]['balanced, by length']['padding'] < GOAL else 'missed'}"
        for name in GOAL_SETS
        if name in data_sets
    ]
    return "\n".join(
        [
            "# Padding and positives, by the order of the texts",
            "",
            f"Training sets in batches of {settings['batch_size']}, cut at {settings['max_length']} tokens; means of "
            f"{settings['epochs']} epochs. Padding: of all places in the padded batches.",
            f"{listed(report['versions'])}.",
            "",
            f"| data set | order | {' | '.join(COLUMNS.values())} |",
            f"|---|---|{'---:|' * len(COLUMNS)}",
            *(
                f"| {name} | {order} | {row['padding']:.1%} | {row['valid_anchors']:.1%} "
                f"| {row['classes_per_batch']:.2f} | {row['new_positives']:.1%} |"
                for name, orders in data_sets.items()
                for order, row in orders.items()
            ),
            "",
            f"Goal: padding below {GOAL:.0%} in the balanced order by length: {', '.join(verdicts)}.",
            "",
        ]
    )


if __name__ == "__main__":
    with one_line_errors():
        main()
