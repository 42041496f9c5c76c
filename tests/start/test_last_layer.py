"""Adding a class to the layer that computes the logits, and removing it, in all supported architectures."""

import pytest
import torch
from tiny_architectures import COMMON, tiny_wrapper

from hf_lcl.model.classes import class_names
from hf_lcl.model.probing import computes_the_same
from hf_lcl.start.last_layer import add_class, last_layer, remove_last_class


# Beside the common ones: a mean over the logits of tokens, a probed copy, and heads of two or of quantised layers.
@pytest.mark.parametrize("name", sorted({*COMMON, "eurobert", "big_bird", "bart", "t5", "ibert"}))
def test_another_class_has_one_logit_for_all_texts_and_the_others_keep_theirs(name, tmp_path):
    model, inputs = tiny_wrapper(name)
    native = model.to_sequence_classifier().eval()
    names = class_names(native.config)
    _, layer = last_layer(native)
    if layer.bias is None:
        with pytest.raises(ValueError, match="has no bias"):
            add_class(native, "none of these", 0.3)
        return
    with torch.no_grad():
        before = native(**inputs).logits
        add_class(native, "none of these", 0.3)
        after = native(**inputs).logits
        torch.testing.assert_close(after[:, :-1], before)
        assert after[:, -1].tolist() == pytest.approx([0.3] * len(after))
        assert class_names(native.config) == [*names, "none of these"]
        native.save_pretrained(tmp_path)
        reloaded, report = type(native).from_pretrained(tmp_path, output_loading_info=True)
        assert not any(report.values())
        assert computes_the_same(native, reloaded)
        remove_last_class(native)
        torch.testing.assert_close(native(**inputs).logits, before)
    assert class_names(native.config) == names


def test_a_class_has_one_place(bert):
    add_class(bert, "none", 0.0)
    with pytest.raises(ValueError, match="has a class 'none' already"):
        add_class(bert, "none", 1.0)


def test_a_classifier_whose_logits_are_made_otherwise_is_refused(bert):
    bert.classifier = torch.nn.Sequential(torch.nn.Linear(32, 4), torch.nn.Tanh())
    with pytest.raises(ValueError, match="no linear layer with 4 outputs, one per class, that makes its logits"):
        last_layer(bert)
