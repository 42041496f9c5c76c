"""The recipe is a function of the numbers of texts and classes and of the encoder width."""

import pytest

from hf_lcl import ContrastiveTrainingArguments, recommended_settings
from hf_lcl.training.recipe import choose_recipe


# (Texts, classes, width): (learning rate, batch size, epochs); the first seven as in examples/results/accuracy.md.
CASES = {
    (385, 77, 384): (2e-4, 32, 40),
    (770, 77, 384): (2e-4, 32, 20),
    (1500, 150, 384): (2e-4, 32, 10),
    (64, 4, 384): (1e-4, 16, 40),
    (432, 27, 384): (1e-4, 32, 36),
    (10_003, 77, 384): (2e-4, 32, 5),
    (23_485, 27, 384): (1e-4, 32, 3),
    (770, 77, 768): (5e-5, 32, 20),
    (770, 20, 1024): (1e-5, 32, 20),
    (770, 20, 128): (1e-4, 32, 20),
}


@pytest.mark.parametrize("data", CASES)
def test_the_values(data):
    recipe = choose_recipe(*data)
    values = [recipe[name][0] for name in ("learning_rate", "per_device_train_batch_size", "num_train_epochs")]
    assert values == pytest.approx(CASES[data])


def test_every_value_has_a_reason():
    recipe = choose_recipe(750, 25, 384)
    assert all(reason for _, reason in recipe.values())
    assert recipe["num_train_epochs"][1] == "480 steps at most, for 750 texts, 30 of a class"


@pytest.mark.parametrize("data", CASES)
def test_in_python_they_are_arguments(data, tmp_path):
    args = ContrastiveTrainingArguments(str(tmp_path), use_cpu=True, **recommended_settings(*data))
    assert [args.learning_rate, args.per_device_train_batch_size, args.num_train_epochs] == pytest.approx(CASES[data])
    assert args.get_warmup_steps(1000) == 100


@pytest.mark.parametrize("numbers", [(0, 4), (64, 0), (64, 4, 0)])
def test_nothing_is_recommended_for_nothing(numbers):
    with pytest.raises(ValueError, match="each is at least 1"):
        recommended_settings(*numbers)
