"""Packages that a program does not use are not imported, and the model is still registered with the auto classes."""

import subprocess
import sys

import pytest
from launching import run_copy


def run(code: str) -> str:
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def test_the_package_and_the_list_of_commands_import_no_library():
    heavy = "{'torch', 'transformers', 'datasets', 'numpy', 'sklearn'}"
    code = (
        f"import sys; from hf_lcl.__main__ import main; main(['--help']); print(sorted({heavy} & sys.modules.keys()))"
    )
    assert run(code).splitlines()[-1] == "[]"


KNOWN = """
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification
import hf_lcl
assert type(AutoConfig.for_model("lcl")) is hf_lcl.LCLConfig
for auto_class in (AutoModel, AutoModelForSequenceClassification):
    assert auto_class._model_mapping[hf_lcl.LCLConfig] is hf_lcl.LCLForSequenceClassification
"""


IMPORTED = """
import sys
from hf_lcl import ContrastiveTrainer, ContrastiveTrainingArguments, LCLForSequenceClassification
from hf_lcl import classification_metrics, encode_labels, load_splits, tokenize_texts
from hf_lcl.evaluation import confused_pairs
heavy = {"evaluate", "matplotlib", "optuna", "scipy.stats", "sentence_transformers", "sklearn"}
print(sorted(heavy & sys.modules.keys()))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "after", ["from transformers import AutoConfig, AutoModel", "import transformers.modeling_utils"]
)
def test_the_auto_classes_know_the_model_that_was_imported_before_transformers(after):
    """The same process checks that `import hf_lcl` does not import what only evaluation needs."""
    assert run(f"import hf_lcl; {after}{KNOWN}{IMPORTED}") == "[]"


@pytest.mark.slow
@pytest.mark.parametrize(
    "imports",
    [
        "import hf_lcl",
        "from hf_lcl.model.modeling import LCLForSequenceClassification",
        "from hf_lcl.model.configuration import LCLConfig",
        "from hf_lcl.model.weighting import build_weighting_network",
    ],
)
def test_the_auto_classes_know_the_model_whichever_file_is_imported_first(imports, tmp_path):
    run_copy(["-c", f"import sys; assert 'hf_lcl' not in sys.modules; {imports}{KNOWN}"], tmp_path / "printed")
