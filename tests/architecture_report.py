"""Measures how every architecture is wrapped and exported; as a program, writes the two tables of the results.

A tiny random model of each type is wrapped, trained for a step, exported, and loaded without hf_lcl.
After a new release of transformers:

```bash
python tests/architecture_report.py
```
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import transformers
from tiny_architectures import ARCHITECTURES, tiny_wrapper

from hf_lcl import LCLForSequenceClassification
from hf_lcl.hub import save_sequence_classifier
from hf_lcl.losses.objective import Objective
from hf_lcl.model.configuration import SEVERAL
from hf_lcl.model.hidden_states import run_with_last_hidden_state
from hf_lcl.model.loading import CANNOT_BE_WRAPPED


ROOT = Path(__file__).parent.parent
FULL_TABLE = ROOT / "examples" / "results" / "architectures.md"
PAGE = ROOT / "examples" / "docs" / "architectures.md"
PAGE_BLOCK = re.compile(r"<!-- architectures:begin -->.*<!-- architectures:end -->\n", flags=re.DOTALL)

# AutoModel builds another base model than the one inside the classifier.
OTHER_BASE_MODEL = {
    "funnel": "AutoModel adds a decoder; FunnelBaseModel is the encoder",
    "longformer": "the classifier adds global attention to the first token",
    "perceiver": "AutoModel has no text preprocessor",
}
# The classifier does not read the last hidden state.
OTHER_READING = {
    "canine": "its classifier reads pooled characters",
    "perceiver": "its classifier decodes all latents",
}
# The input that the architecture was made for, if not text; here it runs on token ids only.
MADE_FOR = {
    "esm": "proteins",
    "esmc": "proteins",
    "gemma3": "texts and images",
    "layoutlm": "pages",
    "layoutlmv3": "pages",
    "lilt": "pages",
    "markuplm": "web pages",
    "modernvbert": "texts and images",
    "perceiver": "bytes of any kind",
    "qwen3_5": "texts and images",
    "tapas": "tables",
    "ultravbert": "texts and images",
}
POOLINGS = {"cls": "first token", "last": "last real token", "mean": "mean"}

# Runs in a process in which `import hf_lcl` fails. Arguments: the folder of exports, then names without a base model.
LOAD = """
import copy, sys, torch
from pathlib import Path
sys.modules["hf_lcl"] = None
from transformers import AutoModel, AutoModelForSequenceClassification
torch.set_num_threads(1)
for folder in Path(sys.argv[1]).iterdir():
    inputs, body_args, body_kwargs = torch.load(folder / "inputs.pt")
    model, report = AutoModelForSequenceClassification.from_pretrained(folder, output_loading_info=True)
    with torch.no_grad():
        result = {"logits": model(**inputs).logits, "keys": [key for kind in report.values() for key in kind]}
        result["decides"] = model.config.problem_type
        if folder.name not in sys.argv[2:]:
            # Copied: weights in a mapped file are not aligned, and some processors then add in another order.
            body = copy.deepcopy(AutoModel.from_pretrained(folder).eval())
            result["hidden"] = body(*body_args, **body_kwargs)[0]
    torch.save(result, folder / "loaded.pt")
"""


@dataclass
class Measured:
    """
    The results for one architecture.

    Args:
        name (`str`): its model type.
        kind (`str`): `"encoder"`, `"decoder"` or `"encoder-decoder"`.
        pooling (`str`): the pooling that the wrapper chose.
        attention (`str`): its default attention implementation.
        checkpointing (`bool`): whether it supports gradient checkpointing.
        wrong_keys (`list[str]`): keys that were missing, unexpected or mismatched when the export was loaded.
        logits_equal (`bool`): whether the loaded export returns the logits of the trained wrapper, to the last bit.
        has_several_labels (`bool`): whether the loaded export predicts several labels per text, as it was trained to.
        hidden_equal (`bool`): whether AutoModel loaded from the export returns its last hidden state, to the last bit;
            false where that was not tried (`OTHER_BASE_MODEL`).
    """

    name: str
    kind: str
    pooling: str
    attention: str
    checkpointing: bool
    wrong_keys: list[str]
    logits_equal: bool
    has_several_labels: bool
    hidden_equal: bool


def run_python(command: list[str]) -> None:
    """Runs the arguments of a `python` command in a new process."""
    result = subprocess.run([sys.executable, *command], capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(result.stderr)


def measure(names: list[str], folder: Path, run: Callable[[list[str]], object] = run_python) -> list[Measured]:
    """
    Trains the architectures and exports each to a subfolder of `folder`, then loads them in a process that `run`
    starts and waits for.
    """
    torch.set_num_threads(1)  # as in the process that loads: the number of threads changes the last bit
    trained = {}
    for name in names:
        model, inputs = tiny_wrapper(name)
        train_one_step(model, inputs)
        trained[name] = model, inputs, export(model, inputs, folder / name)
    run(["-c", LOAD, str(folder), *OTHER_BASE_MODEL])
    found = []
    for name, (model, inputs, expected) in trained.items():
        loaded = torch.load(folder / name / "loaded.pt")
        found.append(
            Measured(
                name=name,
                kind=kind(model, inputs),
                pooling=model.config.pooling,
                attention=model.native.config._attn_implementation,
                checkpointing=model.supports_gradient_checkpointing,
                wrong_keys=loaded["keys"],
                logits_equal=torch.equal(loaded["logits"], expected["logits"]),
                has_several_labels=loaded["decides"] == SEVERAL,
                hidden_equal="hidden" in loaded and torch.equal(loaded["hidden"], expected["hidden"]),
            )
        )
    return found


def train_one_step(model: LCLForSequenceClassification, inputs: dict[str, torch.Tensor]) -> None:
    """
    Takes a step of the label-aware objective with one label per text and one with several. The model stays configured
    for several labels, in evaluation mode.
    """
    model.config.problem_type = model.config.text_config.problem_type = SEVERAL
    model.train()
    output = model(**inputs)
    labels = torch.arange(len(output.logits)) % 3
    rows = (torch.arange(output.logits.shape[1]) <= labels.unsqueeze(1)).long()
    outputs = output.logits, output.embeddings, output.weighting_logits
    sum(Objective("lcl")(*outputs, given)[0] for given in (labels, rows)).backward()
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    model.eval()


def export(
    model: LCLForSequenceClassification, inputs: dict[str, torch.Tensor], folder: Path
) -> dict[str, torch.Tensor]:
    """Saves the classifier and its inputs, and returns the expected outputs."""
    native, calls = model.to_sequence_classifier(), []
    hook = native.base_model.register_forward_pre_hook(lambda _, *call: calls.append(call), with_kwargs=True)
    with torch.no_grad():
        output, hidden = run_with_last_hidden_state(native, inputs)
    hook.remove()
    save_sequence_classifier(model, folder)
    # With the inputs of the base model, since encoder-decoders compute the decoder input themselves.
    torch.save((inputs, *calls[0]), folder / "inputs.pt")
    return {"logits": output.logits, "hidden": hidden}


def kind(model: LCLForSequenceClassification, inputs: dict[str, torch.Tensor]) -> str:
    """The kind of the architecture. In a decoder, a changed token changes only the states after it."""
    if model.native.config.is_encoder_decoder:
        return "encoder-decoder"
    ids, position = inputs["input_ids"], 8
    changed = ids.clone()
    changed[0, position] = next(token for token in ids[0] if token != ids[0, position])
    with torch.no_grad():
        states = [run_with_last_hidden_state(model.native, inputs | {"input_ids": x})[1][0] for x in (ids, changed)]
    before = torch.equal(states[0][:position], states[1][:position])
    after = torch.equal(states[0][position + 1 :], states[1][position + 1 :])
    return "decoder" if before and not after else "encoder"


FULL_TABLE_TEXT = """# Every architecture of transformers' sequence-classification mapping

Measured with transformers {version} on tiny random models, on a CPU; written by `python tests/architecture_report.py`
and compared with a new measurement by `make slow`.

- **kind**: a decoder is what does not look ahead; a type made for something else than text ran on token ids alone.
- **embedding**: what the contrastive loss compares by default: what the type's own classifier reads of the last hidden
  state (an encoder-decoder's is the decoder's).
- **attention**: the implementation by default.
- **gradient checkpointing**: where there is any, the gradients with it are equal to those without.
- **exported logits**: after a training step, of `AutoModelForSequenceClassification.from_pretrained` in a process
  without hf_lcl; *equal* is to the last bit, with no missing or unexpected key.
- **AutoModel**: the last hidden state of `AutoModel.from_pretrained` on the same folder.

The same tests take every type through `ContrastiveTrainer`: a resumed run ends in the weights of an uninterrupted one,
and the best model comes back, tensor for tensor.

{table}
"""


def full_table(measured: list[Measured]) -> str:
    """The file `examples/results/architectures.md`: one row per type."""
    head = ["type", "kind", "embedding", "attention", "gradient checkpointing", "exported logits", "AutoModel"]
    rows = {name: [name, f"not supported: {reason}", *[""] * 5] for name, reason in CANNOT_BE_WRAPPED.items()}
    for one in measured:
        same_hidden = "equal" if one.hidden_equal else OTHER_BASE_MODEL.get(one.name, "differs")
        rows[one.name] = [
            one.name,
            f"{one.kind} for {MADE_FOR[one.name]}" if one.name in MADE_FOR else one.kind,
            "; ".join([POOLINGS[one.pooling], *([OTHER_READING[one.name]] if one.name in OTHER_READING else [])]),
            one.attention,
            "yes" if one.checkpointing else "no",
            "equal" if one.logits_equal and not one.wrong_keys else "differ",
            same_hidden,
        ]
    lines = [head, ["---"] * len(head), *(rows[name] for name in sorted(rows))]
    return FULL_TABLE_TEXT.format(
        version=transformers.__version__, table="\n".join(f"| {' | '.join(line)} |" for line in lines)
    )


def page_block(measured: list[Measured]) -> str:
    """The text between the two markers of the page: the model types by their embedding."""
    lines = [
        f"{len(measured)} of the {len(measured) + len(CANNOT_BE_WRAPPED)} types in transformers' mapping of sequence "
        "classifiers, by what the contrastive loss compares by default:",
        "",
    ]
    for pooling, words in POOLINGS.items():
        names = sorted(one.name for one in measured if one.pooling == pooling)
        lines.append(f'- {words}, `pooling="{pooling}"` ({len(names)}): {", ".join(names)}')
    for name, reason in CANNOT_BE_WRAPPED.items():
        lines.append(f"- not supported: {name}. The reason: {reason}.")
    full = FULL_TABLE.relative_to(ROOT)
    lines += ["", f"What was measured for each: [`{full}`](../results/{full.name})."]
    return "\n".join(["<!-- architectures:begin -->", *lines, "<!-- architectures:end -->\n"])


def main() -> None:
    """Measures everything and writes both tables."""
    with tempfile.TemporaryDirectory() as folder:
        measured = measure(ARCHITECTURES, Path(folder))
    FULL_TABLE.write_text(full_table(measured), encoding="utf-8")
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(PAGE_BLOCK.sub(lambda _: page_block(measured), text), encoding="utf-8")


if __name__ == "__main__":
    main()
