"""The list of commands, and their help texts."""

import re
import subprocess
import sys

import pytest

import hf_lcl
from hf_lcl.__main__ import COMMANDS, main
from hf_lcl.data.reading import KINDS


def test_without_a_command_the_commands_are_listed(capsys):
    main([])
    listed = capsys.readouterr().out
    assert all(f"  {name:<12}{purpose}" in listed for name, purpose in COMMANDS.items())
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
    assert ("folder or Hub id" in printed) == (name in ("evaluate", "predict", "next", "demo"))


@pytest.mark.parametrize("name", ["train", "compare"])
def test_help_is_a_screen_and_help_all_lists_every_flag(name, capsys):
    printed = []
    for flag in ("--help", "--help_all"):
        with pytest.raises(SystemExit) as ended:
            main([name, flag])
        assert ended.value.code == 0
        printed.append(capsys.readouterr().out)
    assert len(printed[0].splitlines()) <= 60
    assert "--help_all lists every flag" in printed[0]
    assert all(f"--{flag} " in printed[1] for flag in ("warmup_steps", "text_column_names", "gather_across_devices"))
    assert "--max-seq-length" not in printed[1]


def test_the_help_of_train_names_every_kind_of_file(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    kinds = re.search(r"Files are (.*) or parquet\.", capsys.readouterr().out)[1]
    assert {*KINDS} - {"ndjson"} == {*kinds.partition(" (")[0].split(", ")}


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--learnig_rate=1", "--learnig_rate is no flag of this command. Did you mean --learning_rate? See --help."),
        ("--xyzzy", "--xyzzy is no flag of this command. See --help."),
    ],
)
def test_a_flag_with_a_typo_is_told(flag, message, fails):
    assert fails(["train", "--output_dir", "out", flag]) == f"error: {message}"


def test_the_version(capsys):
    main(["--version"])
    assert capsys.readouterr().out == f"hf_lcl {hf_lcl.__version__}\n"


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
