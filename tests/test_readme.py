"""The README's Python runs as printed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest


ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_the_python_blocks_run_as_printed_one_after_the_other(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(blocks) == 3
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    results = []
    for block in blocks:
        result = subprocess.run(
            [sys.executable, "-c", block], cwd=tmp_path, env=os.environ, capture_output=True, text=True
        )
        assert result.returncode == 0, result.stderr
        results.append(result.stdout)
    assert re.search(r"'label': '[a-z]+'", results[1])
