"""Which commands there are, and what they say of themselves."""

import subprocess
import sys

import pytest

from hf_lcl.__main__ import COMMANDS, main


def test_without_a_command_the_commands_are_listed(capsys):
    main([])
    listed = capsys.readouterr().out
    assert all(f"  {name:<10}{purpose}" in listed for name, purpose in COMMANDS.items())
    main(["--help"])
    assert capsys.readouterr().out == listed


@pytest.mark.parametrize("name", COMMANDS)
def test_each_says_how_it_is_called(name, capsys):
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"usage: python -m hf_lcl {name}")
    assert f"python -m hf_lcl {name} " in printed.partition("\n\n")[2].partition("options:")[0]
    assert "(default: None)" not in printed
    assert "--max-seq-length" not in printed
    assert ("folder or Hub id" in printed) == (name in ("evaluate", "predict", "demo"))


def test_an_unknown_one_names_the_known_ones(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["trian"])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: 'trian' is no command. Did you mean train? Use one of train, evaluate, predict")
    assert said.count("\n") == 1


def test_the_module_is_a_command():
    listed = subprocess.run([sys.executable, "-m", "hf_lcl"], capture_output=True, text=True)
    assert listed.returncode == 0
    assert listed.stdout.startswith("usage: python -m hf_lcl COMMAND")
    failed = subprocess.run([sys.executable, "-m", "hf_lcl", "publish"], capture_output=True, text=True)
    assert failed.returncode == 2
    assert failed.stderr.count("\n") == 1
