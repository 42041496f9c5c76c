"""Word dropout, for a second view of a text."""

import random


def drop_words(text: str, rate: float = 0.1, seed: int = 0) -> str:
    """
    Drops a random share of the words of a text, at least one if it has two or more; the others keep their order.

    Args:
        text (`str`): words separated by spaces.
        rate (`float`, *optional*, defaults to 0.1): share of the words to drop, in [0, 1); one word always stays.
        seed (`int`, *optional*, defaults to 0): together with the text, determines which words are dropped.

    Paper: [EDA](https://huggingface.co/papers/1901.11196).
    """
    words = text.split()
    count = min(max(round(rate * len(words)), 1), len(words) - 1)
    if count < 1:
        return text
    gone = set(random.Random(f"{seed} {text}").sample(range(len(words)), count))
    return " ".join(word for place, word in enumerate(words) if place not in gone)
