"""
Writes a recurrent encoder to train from scratch, and a tokenizer whose vocabulary is the words of a training file.

    python examples/paper/build_baseline.py --kind gru --train_file train.jsonl --output_dir baselines/gru

Then train on it: `python -m hf_lcl train --model_name_or_path baselines/gru --trust_remote_code ...`
"""

from dataclasses import dataclass, field

from baselines import build_baseline
from recurrent import RecurrentConfig
from transformers import AutoModel, AutoTokenizer

from hf_lcl.commands.arguments import DataArguments
from hf_lcl.commands.exits import one_line_errors
from hf_lcl.commands.parsing import parse_arguments
from hf_lcl.data.tokenizing import check_texts


@dataclass
class BaselineArguments:
    """
    The flags of the command: the arguments of [`build_baseline`].

    Args:
        kind (`str`): `"rnn"`, `"gru"` or `"lstm"`.
        train_file (`str`): csv, json, jsonl or parquet, gzipped or not; only its texts are read.
        output_dir (`str`): the folder to write to.
        text_column_names (`str`, *optional*): one column or several, separated by commas.
        others: see [`RecurrentConfig`] and [`train_word_tokenizer`].
    """

    kind: str = field(metadata={"help": "rnn, gru or lstm."})
    train_file: str = field(metadata={"help": "csv, json, jsonl or parquet (.gz may follow)."})
    output_dir: str = field(metadata={"help": "Where encoder and tokenizer are written."})
    text_column_names: str | None = field(
        default=None, metadata={"help": "Text column(s), separated by commas; defaults to text, then sentence."}
    )
    embedding_size: int = field(default=RecurrentConfig.embedding_size, metadata={"help": "Width of word embeddings."})
    hidden_size: int = field(
        default=RecurrentConfig.hidden_size, metadata={"help": "Width of the hidden state, both directions together."}
    )
    num_layers: int = field(default=RecurrentConfig.num_layers, metadata={"help": "Recurrent layers."})
    bidirectional: bool = field(
        default=RecurrentConfig.bidirectional, metadata={"help": "Read texts from right to left as well."}
    )
    dropout: float = field(default=RecurrentConfig.dropout, metadata={"help": "Dropout rate, from 0 to below 1."})
    vocab_size: int = field(default=30_000, metadata={"help": "Largest number of words."})
    min_frequency: int = field(default=2, metadata={"help": "Rarer words become [UNK]."})
    lowercase: bool = field(default=True, metadata={"help": "Lower-case all texts."})
    filters: list[str] = field(
        default_factory=list, metadata={"help": "Regular expressions whose matches are removed from the texts."}
    )
    stop_words: list[str] = field(default_factory=list, metadata={"help": "Words that are removed."})
    max_length: int = field(default=512, metadata={"help": "Longer texts are cut to this many words."})
    seed: int = field(default=42, metadata={"help": "Seed of the random weights."})


def main(argv: list[str] | None = None) -> None:
    (args,) = parse_arguments((BaselineArguments,), argv)
    settings = dict(vars(args))
    data = DataArguments(train_file=settings.pop("train_file"), text_column_names=settings.pop("text_column_names"))
    splits = data.load(["train"])
    columns = {name: splits["train"][name] for name in data.text_columns}
    for name, column in columns.items():
        check_texts(column, "train", (f"row {row}" for row in range(len(column))), f"column {name!r}")
    texts = [data.text_column_delimiter.join(row) for row in zip(*columns.values())]
    folder = build_baseline(texts=texts, **settings)
    parameters, words = AutoModel.from_pretrained(folder).num_parameters(), len(AutoTokenizer.from_pretrained(folder))
    print(f"{folder}: a {args.kind} of {parameters:,} parameters that knows {words:,} words of {len(texts):,} texts.")


if __name__ == "__main__":
    with one_line_errors():
        main()
