"""`python -m hf_lcl train`: from files to an ordinary classifier."""

from datasets import DatasetDict
from transformers import PreTrainedTokenizerBase, set_seed

from ..evaluation import classification_metrics
from ..trainer import ContrastiveTrainer
from ..training_args import ContrastiveTrainingArguments
from .arguments import DataArguments, ModelArguments
from .data import read_data
from .job import run_job
from .parsing import parse_arguments


ARGUMENTS = (ModelArguments, DataArguments, ContrastiveTrainingArguments)
USAGE = "python -m hf_lcl train [SETTINGS.yaml] [--FLAG VALUE ...]"
DESCRIPTION = """\
Fine-tunes a text classifier, and writes an ordinary one of transformers into a folder, with its card, its results and
its pictures.

  python -m hf_lcl train --model_name_or_path google/electra-base-discriminator \\
      --train_file train.jsonl --validation_file validation.jsonl --test_file test.jsonl \\
      --do_train --do_eval --do_predict --output_dir out

Files are csv, json, jsonl or parquet, with a column `text` and a column `label`. The same flags may stand in a YAML or
JSON file, one a line (`do_train: true`): give its name first; later flags override it.

Beside those above, these are the flags that matter most:
  --objective                    lcl, scl or ce: with a contrastive loss, or with cross-entropy alone
  --alpha, --temperature         of the contrastive loss
  --num_train_epochs, --learning_rate, --per_device_train_batch_size
  --text_column_names, --label_column_name, --max_seq_length
  --bf16                         faster where the machine can do it
  --push_to_hub                  publish the result

examples/run_classification.py is this command as a script of one page, to copy and to change."""


def main(argv: list[str] | None = None) -> None:
    """The command; `argv` defaults to the command line of this process."""
    model_args, data_args, training_args = parse_arguments(ARGUMENTS, argv, usage=USAGE, description=DESCRIPTION)
    splits, names, tokenizer = read_data(model_args, data_args, training_args)
    run_job(make_trainer(model_args, training_args, splits, names, tokenizer), splits, data_args)


def make_trainer(
    model_args: ModelArguments,
    training_args: ContrastiveTrainingArguments,
    splits: DatasetDict,
    names: list[str],
    tokenizer: PreTrainedTokenizerBase,
) -> ContrastiveTrainer:
    """A trainer with a new model, whose random weights are those of the seed."""
    set_seed(training_args.seed)
    return ContrastiveTrainer(
        model=model_args.build_model(names, training_args.objective),
        args=training_args,
        train_dataset=splits.get("train"),
        eval_dataset=splits.get("validation"),
        processing_class=tokenizer,
        compute_metrics=classification_metrics,
    )
