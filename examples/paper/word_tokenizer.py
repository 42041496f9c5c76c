"""A word-level tokenizer, trained on the user's texts."""

import re
from collections.abc import Iterable, Sequence

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast


# Words, with apostrophes inside ("don't"), and single punctuation marks.
WORD = r"\w+(?:['’]\w+)*|[^\w\s]"
SPECIAL_TOKENS = {"pad_token": "[PAD]", "unk_token": "[UNK]", "sep_token": "[SEP]", "mask_token": "[MASK]"}


def train_word_tokenizer(
    texts: Iterable[str],
    *,
    vocab_size: int = 30_000,
    min_frequency: int = 2,
    lowercase: bool = True,
    filters: Sequence[str] = (),
    stop_words: Iterable[str] = (),
    max_length: int = 512,
) -> PreTrainedTokenizerFast:
    r"""
    Trains a tokenizer whose vocabulary is the words of `texts`; all others become `[UNK]`.

    The tokenizer adds no special tokens around a text, so that an empty text has no tokens. The two texts of a pair
    are separated by `[SEP]`.

    Args:
        texts (`Iterable[str]`): the training texts, without validation and test texts.
        vocab_size (`int`, *optional*, defaults to 30000): size of the vocabulary, the four special tokens included;
            the most frequent words are kept.
        min_frequency (`int`, *optional*, defaults to 2): rarer words are left out. With 1 no training text has an
            `[UNK]`, so that no embedding is learned for unknown words.
        lowercase (`bool`, *optional*, defaults to `True`): whether "Glad" and "glad" are one word.
        filters (`Sequence[str]`, *optional*): regular expressions whose matches are removed from a text before it is
            lower-cased and split, such as `r"https?://\S+"`.
        stop_words (`Iterable[str]`, *optional*): words that are removed.
        max_length (`int`, *optional*, defaults to 512): longer texts are cut to this many words.

    Returns:
        `PreTrainedTokenizerFast`: after `save_pretrained`, `AutoTokenizer` loads it.

    Raises:
        TypeError: if `texts`, `filters` or `stop_words` is a single string, or `texts` holds something else.
        ValueError: if a regular expression is invalid, a stop word is not one word, `vocab_size` leaves no room for
            words, or no word of the texts is frequent enough.

    Example:

    ```python
    >>> from word_tokenizer import train_word_tokenizer

    >>> tokenizer = train_word_tokenizer(["Glad, so glad!", "So late again..."], min_frequency=1, stop_words=["so"])
    >>> tokenizer.tokenize("So glad it's late")
    ['glad', '[UNK]', 'late']
    ```
    """
    for name, value in (("texts", texts), ("filters", filters), ("stop_words", stop_words)):
        if isinstance(value, str):
            raise TypeError(f"{name} is a single string: write {name}=[...].")
    if vocab_size <= len(SPECIAL_TOKENS):
        raise ValueError(f"vocab_size={vocab_size} leaves no room for words: use more than {len(SPECIAL_TOKENS)}.")
    backend = Tokenizer(models.WordLevel(unk_token=SPECIAL_TOKENS["unk_token"]))
    backend.normalizer = normalizers.Sequence(
        [
            normalizers.NFC(),
            *(normalizers.Replace(_regex(pattern), " ") for pattern in filters),
            *([normalizers.Lowercase()] if lowercase else []),
        ]
    )
    words = pre_tokenizers.Split(Regex(WORD), behavior="removed", invert=True)
    backend.pre_tokenizer = words
    ignored = [_one_word(backend, word) for word in stop_words]
    if ignored:
        pattern = rf"\A(?:{'|'.join(map(re.escape, ignored))})\z"
        leave_out = pre_tokenizers.Split(Regex(pattern), behavior="removed")
        backend.pre_tokenizer = pre_tokenizers.Sequence([words, leave_out])
    special = list(SPECIAL_TOKENS.values())
    backend.train_from_iterator(
        map(_checked, texts),
        trainers.WordLevelTrainer(
            vocab_size=vocab_size, min_frequency=min_frequency, special_tokens=special, show_progress=False
        ),
    )
    if backend.get_vocab_size() == len(special):
        raise ValueError(
            f"The texts hold no word that occurs {min_frequency} times: give more texts, or a lower min_frequency."
        )
    separator = SPECIAL_TOKENS["sep_token"]
    backend.post_processor = processors.TemplateProcessing(
        single="$A", pair=f"$A {separator} $B", special_tokens=[(separator, backend.token_to_id(separator))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_input_names=["input_ids", "attention_mask"],
        model_max_length=max_length,
        **SPECIAL_TOKENS,
    )


def _checked(text: str) -> str:
    if not isinstance(text, str):
        raise TypeError(f"texts holds {text!r}, not a text: leave it out.")
    return text


def _regex(pattern: str) -> Regex:
    try:
        return Regex(pattern)
    except Exception as error:  # the library raises nothing more specific
        raise ValueError(f"filters holds {pattern!r}, which is no regular expression: {error}") from error


def _one_word(backend: Tokenizer, word: str) -> str:
    """The stop word after normalisation."""
    pieces = [piece for piece, _ in backend.pre_tokenizer.pre_tokenize_str(backend.normalizer.normalize_str(word))]
    if len(pieces) != 1:
        raise ValueError(f"stop_words holds {word!r}, which is not one word: give words one by one.")
    return pieces[0]
