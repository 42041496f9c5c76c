"""The list of mutants agrees with the code; `make mutants` runs them."""

import pytest
from launching import run_copy
from mutants import ROOT, Mutant, mutants


@pytest.mark.parametrize("mutant", mutants([]), ids=lambda mutant: f"{mutant.file}: {mutant.fault.strip()[:60]}")
def test_each_mutant_changes_one_place(mutant: Mutant):
    assert mutant.line != mutant.fault
    assert (ROOT / "hf_lcl" / mutant.file).read_text(encoding="utf-8").count(mutant.line) == 1
    for test in mutant.tests.split():
        file, *names = test.partition("[")[0].split("::")
        text = (ROOT / file).read_text(encoding="utf-8")
        assert all(f" {name}(" in text or f"class {name}:" in text for name in names)


@pytest.mark.slow
def test_each_case_of_a_test_is_there(tmp_path):
    cases = sorted({test for mutant in mutants([]) for test in mutant.tests.split() if "[" in test})
    command = ["-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "-m", ""]
    run_copy([*command, *cases], tmp_path / "printed", ROOT)
