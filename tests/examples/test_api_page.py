"""The API reference agrees with the present docstrings."""

import sys
from pathlib import Path


DOCS = Path(__file__).parents[2] / "examples" / "docs"


def test_the_page_is_the_one_that_the_code_makes(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))
    import write_api

    try:
        made = write_api.page()
        assert write_api.PAGE.read_text(encoding="utf-8") == made, "python examples/docs/write_api.py"
        for package, names in write_api.exported().items():
            for name, thing in names.items():
                assert f"\n### {name}\n" in made, package
                assert (thing.__doc__ or "").strip(), name
    finally:
        sys.modules.pop("write_api", None)


def test_arguments_become_a_list_and_code_stays_code(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))
    from write_api import markdown

    docstring = (
        'What it does.\n\nArgs:\n    text (`str`): read,\n        and kept.\n\nExample:\n\n```python\n>>> f("a")\n```'
    )
    assert markdown(docstring) == (
        'What it does.\n\n**Args**\n\n- text (`str`): read,\n  and kept.\n\n**Example**\n\n```py\n>>> f("a")\n```'
    )
