"""What training need not wait for is imported when it is used."""

import subprocess
import sys

import pytest


CODE = """
import sys
from hf_lcl import ContrastiveTrainer, ContrastiveTrainingArguments, LCLForSequenceClassification
from hf_lcl import classification_metrics, encode_labels, load_splits, tokenize_texts
from hf_lcl.evaluation import confused_pairs
print(sorted({"evaluate", "matplotlib", "optuna", "sklearn", "sentence_transformers"} & sys.modules.keys()))
"""


@pytest.mark.slow
def test_what_evaluation_needs_is_not_imported_at_the_start():
    ran = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True)
    assert ran.stdout.strip() == "[]", ran.stderr
