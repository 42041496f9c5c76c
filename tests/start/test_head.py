"""The classifier's last layer is found in any architecture, reads the embedding, and is fitted as by scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from tiny_architectures import EVERY_ARCHITECTURE, tiny_config, tiny_inputs, tiny_wrapper
from torch import nn
from torch.nn.functional import gelu
from transformers import BertForSequenceClassification

from hf_lcl import LCLForSequenceClassification
from hf_lcl.start.head import INVERSE_PENALTY, find_head, fit_head, head_inputs, linearize


# Their classifiers average the logits of tokens.
WITHOUT_LINEAR_END = ("eurobert",)


@pytest.fixture
def of_two_classes():
    """A wrapper for two classes, and a batch of both."""
    config = tiny_config("bert")
    config.num_labels = 2
    torch.manual_seed(0)
    inputs = tiny_inputs("bert", config)
    model = LCLForSequenceClassification.from_native(BertForSequenceClassification(config).eval())
    return model, {**inputs, "labels": torch.arange(len(inputs["input_ids"])) % 2}


@pytest.mark.parametrize("architecture", EVERY_ARCHITECTURE)
def test_the_last_layer_is_the_one_that_makes_the_logits(architecture):
    model, inputs = tiny_wrapper(architecture)
    model.eval()
    if architecture in WITHOUT_LINEAR_END:
        with pytest.raises(ValueError, match="do not come out of a linear layer"):
            find_head(model, inputs)
        return
    head = find_head(model, inputs)
    features = head_inputs(model, head.output, inputs)
    torch.testing.assert_close(head.output(features), model(**inputs).logits)


@pytest.mark.parametrize(
    "architecture", ["bert", "roberta", "electra", "distilbert", "deberta-v2", "mpnet", "albert", "xlm-roberta"]
)
def test_a_straight_head_passes_the_embedding_on(architecture):
    model, inputs = tiny_wrapper(architecture)
    model.eval()
    head = find_head(model, inputs)
    assert linearize(model, head, inputs)
    features = head_inputs(model, head.output, inputs)
    # Up to a shift and a scale, which a linear layer can undo, and the activation, nearly linear for small values.
    shift, scale = head.dense.bias[0], head.dense.weight[0, 0]
    expected = scale * model(**inputs).embeddings
    assert expected.square().mean().sqrt() < 0.8
    curve = {"electra": gelu, "deberta-v2": gelu, "distilbert": torch.nn.Identity()}.get(architecture, torch.tanh)
    torch.testing.assert_close(features - shift, curve(expected), rtol=0.02, atol=0.01)


@pytest.mark.parametrize("architecture", ["modernbert", "llama"])
def test_a_head_that_cannot_be_straight_stays_as_it_was(architecture):
    model, inputs = tiny_wrapper(architecture)
    model.eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert not linearize(model, find_head(model, inputs), inputs)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name


@pytest.mark.parametrize("architecture", ["bert", "distilbert", "modernbert", "llama"])
def test_the_logits_are_those_of_a_logistic_regression(architecture):
    model, inputs = tiny_wrapper(architecture)
    model.eval()
    labels = torch.arange(len(inputs["input_ids"])) % 3  # of five classes
    batches = [
        {**{name: tensor[rows] for name, tensor in inputs.items()}, "labels": labels[rows]}
        for rows in (slice(0, 4), slice(4, None))
    ]
    fit_head(model, batches)
    head = find_head(model, inputs)
    logits = model(**inputs).logits.detach()
    features = head_inputs(model, head.output, inputs).double().numpy()
    mean = features.mean(axis=0) if head.output.bias is not None else 0
    scale = np.sqrt(np.square(features - mean).sum(axis=1).mean())
    regression = LogisticRegression(C=INVERSE_PENALTY, max_iter=1000, fit_intercept=head.output.bias is not None)
    regression.fit((features - mean) / scale, labels)
    expected = regression.decision_function((features - mean) / scale)
    np.testing.assert_allclose(logits[:, :3], expected, atol=2e-3)
    if head.output.bias is not None:
        assert (logits[:, 3:] < logits[:, :3].min()).all()


@pytest.mark.parametrize("architecture", ["bert", "llama"])
def test_weights_of_half_the_digits_are_fitted_too(architecture):
    model, inputs = tiny_wrapper(architecture)
    model.to(torch.bfloat16).eval()
    labels = model(**inputs).embeddings.float().norm(dim=1).argsort().argsort() // 2
    fit_head(model, [{**inputs, "labels": labels}])
    assert model(**inputs).logits.dtype == torch.bfloat16
    assert (model(**inputs).logits.argmax(dim=1) == labels).all()


def test_two_classes_get_two_opposite_rows(of_two_classes):
    model, batch = of_two_classes
    fit_head(model, [batch])
    weight = model.native.classifier.weight
    torch.testing.assert_close(weight[0], -weight[1])


def test_class_weights_move_the_border(of_two_classes):
    model, batch = of_two_classes
    probabilities = []
    for weights in ([1.0, 1.0], [1.0, 50.0]):
        fit_head(model, [batch], class_weights=weights)
        probabilities.append(model(**batch).logits.softmax(dim=1)[:, 1].mean())
    assert probabilities[1] > probabilities[0] + 0.1


def test_a_classifier_without_a_linear_end_is_refused():
    model, inputs = tiny_wrapper("bert")
    model.native.classifier = nn.Sequential(nn.Unflatten(1, (1, 32)), nn.Conv1d(1, 5, 32), nn.Flatten())
    with pytest.raises(ValueError, match="do not come out of a linear layer"):
        fit_head(model, [{**inputs, "labels": torch.zeros(6, dtype=torch.long)}])


def test_two_classes_have_the_logit_difference_of_scikit_learn(of_two_classes):
    model, batch = of_two_classes
    inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
    fit_head(model, [batch])
    with torch.no_grad():
        logits = model(**inputs).logits
    features = head_inputs(model, model.native.classifier, inputs).double().numpy()
    centred = features - features.mean(axis=0)
    centred /= np.sqrt(np.square(centred).sum(axis=1).mean())
    regression = LogisticRegression(C=INVERSE_PENALTY, max_iter=1000).fit(centred, batch["labels"])
    difference = (logits[:, 1] - logits[:, 0]).numpy()
    np.testing.assert_allclose(difference, regression.decision_function(centred), atol=2e-3)


def test_the_inputs_of_the_activation_have_half_the_size_of_one_up_to_a_power_of_two(of_two_classes):
    model, batch = of_two_classes
    model.native.bert.encoder.layer[-1].output.LayerNorm.weight.data *= 3  # otherwise the size is exactly 1
    fit_head(model, [batch])
    dense = model.native.bert.pooler.dense
    diagonal = dense.weight.diagonal()
    assert torch.equal(dense.weight, torch.diag(diagonal))
    factor = (diagonal[0] / 0.5).log2().item()
    assert factor == round(factor)  # batches of similar scale give the same layer
    inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
    with torch.no_grad():
        size = dense(model(**inputs).embeddings).square().mean().sqrt().item()
    assert 0.5 / 2**0.5 <= size <= 0.5 * 2**0.5


@pytest.mark.parametrize("training", [True, False])
def test_fitting_leaves_the_mode(of_two_classes, training):
    model, batch = of_two_classes
    model.train(training)
    fit_head(model, [batch])
    assert {module.training for module in model.modules()} == {training}
