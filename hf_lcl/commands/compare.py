"""`python -m hf_lcl compare`: compares the objectives on one data set, with as many epochs at most."""

from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from datasets import DatasetDict
from transformers import PreTrainedTokenizerBase
from transformers.trainer_utils import SaveStrategy

from ..data.fingerprint import fingerprint
from ..evaluation.comparison import comparison_rows, markdown_table
from ..evaluation.decisions import decided
from ..evaluation.ledger import Ledger
from ..evaluation.summary import FOLDER, add_findings, read_summary
from ..hub.card import refresh_card
from ..hub.run_facts import describe_hardware, package_versions, training_settings
from ..losses.objective import OBJECTIVES
from ..support.files import write_whole
from ..support.tables import format_table
from ..training.start import can_distill
from ..training_args import ContrastiveTrainingArguments, check_choice
from .arguments import DataArguments
from .automatic import choose_settings, choose_work, is_left_to_us, write_settings
from .data import read_data
from .evaluate import measure
from .exits import UsageError, own_command, telling_what_is_kept
from .job import run_job
from .model_arguments import ModelArguments
from .parsing import given_names, parse_arguments
from .train import ARGUMENTS, make_trainer, naming_file


USAGE = "python -m hf_lcl compare FILE [--objectives ce scl lcl] [--seeds 0 1 2] [--FLAG VALUE ...]"
DESCRIPTION = """\
Trains with each objective and each seed, all else being equal, and tests whether the differences are more than noise.

  python -m hf_lcl compare tickets.csv --objectives ce scl lcl --seeds 0 1 2 --output_dir comparison
  python -m hf_lcl compare out/settings.yaml --output_dir comparison        # with the settings of a finished `train`

What no flag sets is chosen as by `train FILE`, but no temperature is fitted. The flags are those of `train` (see its
--help), and can be in the same settings file. With --do_train, nothing is chosen. Files in OUTPUT_DIR:

  comparison.md        a table: mean ± standard deviation over the seeds, and paired tests against the first objective
  lcl-seed0, ...       each model with its card and its report, which also show the results of cross-entropy
  runs.jsonl           one line per finished run

With several labels per text, the tests compare the share of texts whose labels are all right. A finished run is not
run again: the same command resumes where it was stopped, and can add objectives and seeds."""
# Cross-entropy has no use for second views: these values override the flags.
WITHOUT_VIEWS = {"num_views": "1", "view": "dropout"}
# Cross-entropy after the start of the other objectives: only the loss differs.
AFTER_START = "ce-start"
SYSTEMS = ("ce", AFTER_START, *(objective for objective in OBJECTIVES if objective != "ce"))
# Settings that differ between the runs, beside those that were given or chosen.
OF_RUN = {"objective", "seed", "output_dir", "head_start", "distill_mean", "do_train", "do_eval", "do_predict"}
BASELINES = {"ce": "cross-entropy", AFTER_START: "cross-entropy after the same start"}


@dataclass
class CompareArguments:
    """The objectives and seeds to compare. Every field is a flag, explained by its `help`."""

    _argument_group_name = "the comparison"

    objectives: list[str] = field(
        default_factory=lambda: list(SYSTEMS),
        metadata={"help": "Some of ce, ce-start (ce after the start of lcl), scl and lcl; the first is the baseline."},
    )
    seeds: list[int] = field(
        default_factory=lambda: [0, 1, 2], metadata={"help": "One run of each objective per seed."}
    )

    def __post_init__(self) -> None:
        for objective in self.objectives:
            check_choice("objectives", objective, SYSTEMS)
        for name, values in vars(self).items():
            if len(set(values)) != len(values):
                raise ValueError(f"{name}={values} holds one twice: leave it out.")


def main(argv: list[str]) -> None:
    argv = naming_file(argv, (CompareArguments, *ARGUMENTS))
    compare_args, model_args, data_args, training_args = _parse(argv, WITHOUT_VIEWS)
    given = given_names(argv)
    if training_args.world_size > 1:
        raise UsageError("A comparison runs in one process: leave torchrun out.")
    if training_args.push_to_hub:
        raise UsageError("A comparison publishes nothing: leave --push_to_hub out, and `push` the model you like.")
    chooses = is_left_to_us(data_args, given)
    if chooses:
        given |= choose_work(data_args, training_args, given, kind="comparison")
    folder = Path(training_args.output_dir)
    # Checks the arguments of all runs before the first one.
    runs = product(compare_args.seeds, compare_args.objectives)
    planned = [(system, _arguments_of_run(argv, folder, system, seed)) for seed, system in runs]
    training_args.do_train = True
    splits, names, tokenizer = read_data(model_args, data_args, training_args)
    if chooses:
        chosen = choose_settings(training_args, splits, names, model_args.load_config(), given) - given
        given |= chosen
        for name, (_, args) in product(chosen - {"save_strategy"}, planned):
            setattr(args, name, getattr(training_args, name))
    split = "test" if "test" in splits else "validation"
    if split not in splits or "labels" not in splits[split].column_names:
        raise UsageError("A comparison needs labelled texts that it does not train on: give --test_file.")
    columns = {name: ("input_ids",) if name == "oos" else ("input_ids", "labels") for name in splits}
    identity = {name: fingerprint(data, columns[name]) for name, data in splits.items()}
    decided_by = {"out_of_scope": data_args.rule, "fold_thresholds": data_args.fold_thresholds}
    identity |= {name: str(value) for name, value in decided_by.items() if value is not None}
    ledger = Ledger(folder / "runs.jsonl")
    settings = [_settings(model_args, *run) | {"data": identity, "split": split} for run in planned]
    with telling_what_is_kept(lambda: f"Finished runs are in {ledger.path}; to go on: {own_command()}"):
        for number, ((system, args), known_by) in enumerate(zip(planned, settings), start=1):
            title = f"run {number} of {len(planned)}: {system}, seed {args.seed}"
            if known_by in ledger:
                print(f"{title}: finished before", flush=True)
                continue
            print(f"\n=== {title} ===", flush=True)
            repeated = given | OF_RUN
            ledger.add(known_by, _run(model_args, data_args, args, splits, names, tokenizer, split, repeated))

    _write_baselines(planned)
    rows = comparison_rows([ledger[known_by] for known_by in settings], np.asarray(splits[split]["labels"]))
    caption = (
        f"{model_args.model_name_or_path} on the {split} split ({len(splits[split]):,} texts) after training on "
        f"{len(splits['train']):,}: mean ± standard deviation over seeds, in percent."
    )
    print(f"\n{caption}\n\n{format_table(rows)}")
    write_whole(folder / "comparison.md", f"{caption}\n\n{markdown_table(rows)}\n")


def _parse(argv: list[str], flags: dict[str, str]) -> tuple[Any, ...]:
    """Parses the command line with other values for some flags."""
    others = [f"--{name}={value}" for name, value in flags.items()]
    return parse_arguments((CompareArguments, *ARGUMENTS), [*argv, *others], usage=USAGE, description=DESCRIPTION)


def _arguments_of_run(argv: list[str], folder: Path, system: str, seed: int) -> ContrastiveTrainingArguments:
    name, objective = f"{system}-seed{seed}", system.partition("-")[0]
    flags = {"head_start": "true"} if system == AFTER_START else {}
    flags |= {"objective": objective, "seed": str(seed), "output_dir": str(folder / name)}
    flags["hub_model_id"] = f"{folder.absolute().name}-{name}"  # its name in the card
    *_, args = _parse(argv, flags | (WITHOUT_VIEWS if objective == "ce" else {}))
    if not args.load_best_model_at_end:
        args.save_strategy = SaveStrategy.NO  # an interrupted run starts again
    return args


def _settings(model_args: ModelArguments, system: str, args: ContrastiveTrainingArguments) -> dict[str, Any]:
    """The settings that identify a run, except its data."""
    best = {name: getattr(args, name) for name in ("eval_strategy", "eval_steps") if args.load_best_model_at_end}
    model = model_args.identity(args.objective)
    return {"objective": system, "model": model, "training": training_settings(args) | best}


def _run(
    model_args: ModelArguments,
    data_args: DataArguments,
    args: ContrastiveTrainingArguments,
    splits: DatasetDict,
    names: list[str],
    tokenizer: PreTrainedTokenizerBase,
    split: str,
    repeated: set[str],
) -> dict[str, Any]:
    """Trains, and returns what the ledger keeps; the settings in `repeated` are written into the run's folder."""
    args.do_train, args.do_eval, args.do_predict = True, "validation" in splits, split == "test"
    trainer = make_trainer(model_args, args, splits, names, tokenizer)
    if args.objective == "ce" and args.head_start:
        args.distill_mean = can_distill(trainer.model)
    write = partial(write_settings, (model_args, data_args, args), repeated)
    predicted = run_job(trainer, splits, data_args, when_trained=write)
    assert predicted is not None  # the split exists
    logits, labels = np.asarray(predicted.predictions), np.asarray(predicted.label_ids)
    return {
        "metrics": measure(logits, labels, trainer.model.native.config),
        "seconds": next(line["train_runtime"] for line in trainer.state.log_history[::-1] if "train_runtime" in line),
        "steps": trainer.state.global_step,
        "predictions": decided(logits, several=labels.ndim == 2).astype(int).tolist(),
        "hardware": describe_hardware(),
        "versions": package_versions(),
    }


def _write_baselines(planned: list[tuple[str, ContrastiveTrainingArguments]]) -> None:
    """Adds the results of cross-entropy with the same seed to the cards and pages of the other objectives."""
    found = {(name, args.seed): read_summary(args.output_dir) for name, args in planned if name in BASELINES}
    for name, args in planned:
        baselines = {}
        for other, title in BASELINES.items():
            if name not in BASELINES and (summary := found.get((other, args.seed))) is not None:
                baselines[title] = {key: summary[key] for key in ("metrics", "intervals")}
        if not baselines:
            continue
        add_findings(args.output_dir, baselines=baselines)
        refresh_card(args.output_dir)
        if (Path(args.output_dir) / FOLDER / "index.html").is_file():
            from ..evaluation.report.glance import refresh_page  # needs matplotlib, which is an extra

            refresh_page(args.output_dir)
