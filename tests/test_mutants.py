"""The list of mutants fits the code: `make mutants` runs it."""

import pytest
from mutants import ROOT, Mutant, mutants


@pytest.mark.parametrize("mutant", mutants([]), ids=lambda mutant: f"{mutant.file}: {mutant.fault.strip()[:60]}")
def test_each_mutant_changes_one_place(mutant: Mutant):
    assert mutant.line != mutant.fault
    assert (ROOT / "hf_lcl" / mutant.file).read_text(encoding="utf-8").count(mutant.line) == 1
    assert all((ROOT / test.partition("::")[0]).exists() for test in mutant.tests.split() if test.startswith("tests/"))
