"""The examples of docstrings run as printed, in a folder with the files and beside the objects that they mention."""

from pathlib import Path
from typing import Any

import pytest
import torch
from docstrings import examples, run
from transformers import AutoModelForSequenceClassification, ElectraModel
from transformers.models.electra import ElectraConfig

from hf_lcl import ContrastiveTrainingArguments, LCLForSequenceClassification
from hf_lcl.commands import export


ROOT = Path(__file__).parents[1]
EXAMPLES = examples()
# Needs a Hub: tests/hub/test_push.py.
del EXAMPLES["hf_lcl.hub.push.push_folder"]
EXTRAS = {
    "hf_lcl.evaluation.report.writing.write_report": "matplotlib",
    "hf_lcl.hub.export.save_adapter": "peft",
    "hf_lcl.serving.onnx_classifier.OnnxClassifier": "onnx",
    "hf_lcl.trainer.ContrastiveTrainer.hyperparameter_search": "optuna",
}
SLOW = ("OnnxClassifier", "hyperparameter_search")


@pytest.fixture
def objects(splits, tokenizer, plain, tmp_path, monkeypatch) -> dict[str, Any]:
    """The objects that examples mention and do not make; the files are in the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    plain.rename("out")
    classifier = AutoModelForSequenceClassification.from_pretrained("out")
    sizes = {"hidden_size": 768, "embedding_size": 32, "intermediate_size": 32}
    sizes |= {"num_hidden_layers": 1, "num_attention_heads": 2}
    torch.manual_seed(0)
    electra = ElectraModel(ElectraConfig(vocab_size=len(tokenizer), **sizes))
    # A folder is taken before the model of that name on the Hub.
    for model, folder in ((classifier, "runs/feelings"), (electra, "google/electra-base-discriminator")):
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return {
        "args": ContrastiveTrainingArguments("out", max_steps=2, use_cpu=True, report_to="none"),
        "classifier": classifier,
        "model": LCLForSequenceClassification.from_native(classifier, weighting="head"),
        "splits": splits,
        "tokenizer": tokenizer,
        "train": splits["train"],
        "validation": splits["validation"],
    }


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name.endswith(SLOW) else name for name in EXAMPLES]
)
def test_an_example_runs(name, objects, make_trainer):
    if name in EXTRAS:
        pytest.importorskip(EXTRAS[name])
    if name.endswith("save_adapter"):
        from peft import LoraConfig

        objects["classifier"].save_pretrained("the-encoder")
        objects["model"] = make_trainer(folder="adapted", peft_config=LoraConfig(r=2)).model
    if name.endswith("OnnxClassifier"):
        export.main(["out", "out-onnx"])
    run(EXAMPLES[name], objects)
