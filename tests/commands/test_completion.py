"""What a shell completes."""

import subprocess

import pytest

from hf_lcl.__main__ import COMMANDS, main


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    """The completion script, saved to a file."""
    import contextlib
    import io

    page = io.StringIO()
    with contextlib.redirect_stdout(page):
        main(["completion", "bash"])
    path = tmp_path_factory.mktemp("completion") / "hf-lcl"
    path.write_text(page.getvalue())
    return path


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["tr"], {"train"}),
        ([""], {*COMMANDS}),
        (["train", "--num_train_e"], {"--num_train_epochs"}),
        (["predict", "--top"], {"--top_k"}),
        (["search", "--n_t"], {"--n_trials"}),
        (["push", "tick"], {"tickets.csv"}),
        (["nothing", "--x"], set()),
    ],
)
def test_bash(script, tmp_path, words, expected):
    (tmp_path / "tickets.csv").touch()
    line = " ".join(f"'{word}'" for word in ["hf-lcl", *words])
    code = f'source {script}; COMP_WORDS=({line}); COMP_CWORD={len(words)}; _hf_lcl; echo "${{COMPREPLY[@]}}"'
    ran = subprocess.run(["bash", "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert (set(ran.stdout.split()), ran.stderr) == (expected, "")


def test_zsh(capsys):
    main(["completion", "zsh"])
    assert capsys.readouterr().out.startswith("autoload -U +X compinit bashcompinit")
