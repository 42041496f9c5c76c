"""A batch of texts becomes a batch of views: what may change in a further view, what may not, and how often."""

from collections import Counter

import pytest
import torch

from hf_lcl import ContrastiveDataCollator, tokenize_texts
from hf_lcl.data.views import SPAN, Views, texts_alone


CHANGES = ("word_dropout", "swap", "mask")
TEXTS = ["my neighbour was laughing at the party today", "rage", "the medal", "a cake and friend at home", ""]
LABELS = torch.tensor([0, 1, 2, 3, 1])


@pytest.fixture(params=["right", "left"])
def padding_side(request, tokenizer):
    before, tokenizer.padding_side = tokenizer.padding_side, request.param
    yield request.param
    tokenizer.padding_side = before


@pytest.fixture
def batch(tokenizer):
    return dict(tokenizer(TEXTS, padding=True, return_tensors="pt"))


@pytest.fixture
def many(tokenizer):
    """One text of 20 different tokens, 2000 times."""
    ids = [tokenizer.cls_token_id, *range(10, 30), tokenizer.sep_token_id]
    return dict(tokenizer.pad({"input_ids": [ids] * 2000}, return_tensors="pt"))


def second_view(batch, tokenizer, kind, rate=0.1, seed=0):
    torch.manual_seed(seed)
    inputs, _ = Views(kind=kind, rate=rate, tokenizer=tokenizer)(batch, torch.zeros(len(batch["input_ids"])))
    return {name: tensor[len(batch["input_ids"]) :] for name, tensor in inputs.items()}


def ordinary(row, tokenizer) -> list[int]:
    return [token for token in row.tolist() if token not in tokenizer.all_special_ids]


# The layout


@pytest.mark.parametrize("kind", ["dropout", *CHANGES])
@pytest.mark.parametrize("num_views", [1, 2, 3])
def test_the_texts_come_first_as_they_are_and_the_labels_are_repeated(num_views, kind, batch, tokenizer):
    inputs, labels = Views(num_views, kind, tokenizer=tokenizer)(batch, LABELS)
    assert inputs.keys() == batch.keys()
    for name, tensor in inputs.items():
        assert tensor.shape == (num_views * len(TEXTS), batch[name].shape[1])
        assert torch.equal(tensor[: len(TEXTS)], batch[name])
    assert labels.tolist() == LABELS.tolist() * num_views


def test_dropout_views_are_the_texts_themselves(batch):
    inputs, _ = Views(3)(batch, LABELS)
    assert all(torch.equal(tensor, batch[name].repeat(3, 1)) for name, tensor in inputs.items())


def test_inputs_that_are_no_tokens_are_repeated(batch, tokenizer):
    batch["language"] = torch.arange(len(TEXTS))
    inputs, _ = Views(kind="word_dropout", tokenizer=tokenizer)(batch, LABELS)
    assert inputs["language"].tolist() == [*range(len(TEXTS))] * 2


# What the three kinds change


def test_a_row_that_lost_words_is_what_the_tokenizer_makes_of_the_shorter_text(padding_side, tokenizer):
    batch = dict(tokenizer(TEXTS, padding=True, return_tensors="pt"))
    view = second_view(batch, tokenizer, "word_dropout", rate=0.5)
    shorter = [" ".join(tokenizer.convert_ids_to_tokens(ordinary(row, tokenizer))) for row in view["input_ids"]]
    length = batch["input_ids"].shape[1]
    expected = tokenizer(shorter, padding="max_length", max_length=length, return_tensors="pt")
    assert shorter != TEXTS
    assert all(torch.equal(view[name], expected[name]) for name in batch)


def test_the_tokenizers_own_padding_of_segments_is_used(batch, tokenizer, monkeypatch):
    monkeypatch.setattr(tokenizer, "_pad_token_type_id", 3)
    view = second_view(batch, tokenizer, "word_dropout")
    assert view["token_type_ids"][0].tolist() == [0] * (view["token_type_ids"].shape[1] - 1) + [3]


def test_word_dropout_keeps_the_order_and_drops_the_share(many, tokenizer):
    view = second_view(many, tokenizer, "word_dropout", rate=0.3)
    text = many["input_ids"][0].tolist()
    assert view["attention_mask"].sum(dim=1).unique().tolist() == [len(text) - 6]
    for row in view["input_ids"]:
        kept = [token for token in row.tolist() if token != tokenizer.pad_token_id]
        assert kept == [token for token in text if token in kept]


def test_masking_puts_the_mask_token_on_the_share_and_nothing_else(many, tokenizer):
    view = second_view(many, tokenizer, "mask", rate=0.3)
    masked = view["input_ids"] == tokenizer.mask_token_id
    assert masked.sum(dim=1).unique().tolist() == [6]
    assert torch.equal(view["input_ids"][~masked], many["input_ids"][~masked])
    assert torch.equal(view["attention_mask"], many["attention_mask"])


def test_tokens_are_masked_in_spans(many, tokenizer):
    masked = second_view(many, tokenizer, "mask", rate=0.45)["input_ids"] == tokenizer.mask_token_id
    runs = (masked[:, 1:] & ~masked[:, :-1]).sum(dim=1)
    # Of 9 tokens; one span may be cut short by the end of the text, and the last by their number.
    assert runs.max() <= 9 // SPAN + 1
    assert len(runs.unique()) > 1


def test_swapping_moves_the_share_and_keeps_every_token(many, tokenizer):
    view = second_view(many, tokenizer, "swap", rate=0.3)
    assert (view["input_ids"] != many["input_ids"]).sum(dim=1).unique().tolist() == [6]
    assert torch.equal(view["input_ids"].sort(dim=1).values, many["input_ids"].sort(dim=1).values)


@pytest.mark.parametrize(("kind", "changed"), [("word_dropout", 1), ("mask", 1), ("swap", 2)])
def test_at_least_one_token_changes_and_every_one_equally_often(kind, changed, many, tokenizer):
    view = second_view(many, tokenizer, kind, rate=0.01)
    text = many["input_ids"][0].tolist()[1:-1]
    if kind == "word_dropout":
        times = Counter(token for row in view["input_ids"] for token in set(text) - set(row.tolist()))
    else:
        times = Counter(many["input_ids"][view["input_ids"] != many["input_ids"]].tolist())
    assert set(times) == set(text)
    assert times.total() == changed * 2000
    # Five standard deviations around the mean of a binomial distribution.
    share = changed / 20
    assert all(abs(n - 2000 * share) < 5 * (2000 * share * (1 - share)) ** 0.5 for n in times.values())


# What none of them may do


@pytest.mark.parametrize("rate", [0.01, 0.5, 0.99])
@pytest.mark.parametrize("kind", CHANGES)
def test_special_tokens_stay(kind, rate, padding_side, tokenizer):
    batch = dict(tokenizer(TEXTS * 50, padding=True, return_tensors="pt"))
    view = second_view(batch, tokenizer, kind, rate)
    for special in (tokenizer.cls_token_id, tokenizer.sep_token_id):
        assert (view["input_ids"] == special).sum(dim=1).eq(1).all()
    tokens = view["attention_mask"].bool()
    assert torch.equal(tokens, view["input_ids"] != tokenizer.pad_token_id)
    for row, mask in zip(view["input_ids"], tokens):
        assert row[mask][[0, -1]].tolist() == [tokenizer.cls_token_id, tokenizer.sep_token_id]


@pytest.mark.parametrize("kind", CHANGES)
def test_a_text_never_loses_all_its_tokens(kind, tokenizer):
    batch = dict(tokenizer(TEXTS * 50, padding=True, return_tensors="pt"))
    view = second_view(batch, tokenizer, kind, rate=0.99)
    for before, after in zip(batch["input_ids"], view["input_ids"]):
        left = len(ordinary(after, tokenizer))
        assert (
            left == len(ordinary(before, tokenizer))
            if kind == "swap"
            else left == min(len(ordinary(before, tokenizer)), 1)
        )


@pytest.mark.parametrize("kind", CHANGES)
def test_texts_of_one_token_or_none_stay_as_they_are(kind, tokenizer):
    batch = dict(tokenizer(["rage", ""], padding=True, return_tensors="pt"))
    view = second_view(batch, tokenizer, kind, rate=0.99)
    assert all(torch.equal(view[name], batch[name]) for name in batch)


@pytest.mark.parametrize("kind", CHANGES)
def test_architectures_without_an_attention_mask_get_the_same_tokens(kind, batch, tokenizer):
    with_mask = second_view(batch, tokenizer, kind, rate=0.5)
    without = second_view({"input_ids": batch["input_ids"]}, tokenizer, kind, rate=0.5)
    assert torch.equal(with_mask["input_ids"], without["input_ids"])


# The draws


@pytest.mark.parametrize("kind", CHANGES)
def test_the_seed_decides_and_every_step_draws_anew(kind, many, tokenizer):
    first, again, other = (second_view(many, tokenizer, kind, 0.3, seed)["input_ids"] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    views = Views(3, kind, tokenizer=tokenizer)
    second, third = views(many, torch.zeros(2000))[0]["input_ids"].split(2000)[1:]
    assert not torch.equal(second, third)


# A second view of the user's own


def test_the_tokens_of_a_column_become_the_second_view(raw_splits, tokenizer):
    splits = raw_splits.map(lambda row: {"paraphrase": row["text"].replace("the", "my a my"), "labels": 1})
    train = tokenize_texts(splits, tokenizer, view_column="paraphrase")["train"].select(range(6))
    batch = ContrastiveDataCollator(tokenizer)([train[row] for row in range(6)])
    labels = batch.pop("labels")
    inputs, labels = Views(kind="column")(batch, labels)
    expected = tokenizer(train["text"][:] + train["paraphrase"][:], padding=True, return_tensors="pt")
    assert inputs.keys() == expected.keys()
    assert all(torch.equal(inputs[name], expected[name]) for name in inputs)
    assert labels.tolist() == [1] * 12


def test_an_evaluation_takes_the_texts_alone(batch):
    assert texts_alone(batch | {f"view_{name}": tensor for name, tensor in batch.items()}) == batch


# Errors


def test_a_batch_without_the_column_says_how_to_write_it(batch):
    with pytest.raises(ValueError, match=r"tokenize_texts\(splits, tokenizer, view_column='paraphrase'\)"):
        Views(kind="column")(batch, LABELS)


@pytest.mark.parametrize("kind", CHANGES)
def test_changing_tokens_needs_a_tokenizer(kind):
    with pytest.raises(ValueError, match=f"view='{kind}' needs to know the special tokens: pass processing_class"):
        Views(kind=kind)


def test_masking_needs_a_mask_token(tokenizer, monkeypatch):
    monkeypatch.setitem(tokenizer._special_tokens_map, "mask_token", None)
    with pytest.raises(ValueError, match=r"view='mask' needs a mask token.*use view='word_dropout'"):
        Views(kind="mask", tokenizer=tokenizer)
