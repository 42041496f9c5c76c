"""A second view of a text: some of its words are missing."""

import random


def drop_words(text: str, rate: float = 0.1, seed: int = 0) -> str:
    """
    Leaves out each text's share of words, at least one of two or more; the rest keeps its order.

    Args:
        text (`str`): words between spaces.
        rate (`float`, *optional*, defaults to 0.1): share of the words that go, in [0, 1); one word always stays.
        seed (`int`, *optional*, defaults to 0): decides with the text which words go.

    Paper: [EDA](https://huggingface.co/papers/1901.11196).
    """
    words = text.split()
    count = min(max(round(rate * len(words)), 1), len(words) - 1)
    if count < 1:
        return text
    gone = set(random.Random(f"{seed} {text}").sample(range(len(words)), count))
    return " ".join(word for place, word in enumerate(words) if place not in gone)
