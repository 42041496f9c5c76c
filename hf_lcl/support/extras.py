"""Packages that only some users need: imported when they are used, with an error that says how to get them."""

from importlib import import_module
from types import ModuleType


def load_extra(package: str, extra: str) -> ModuleType:
    """
    Imports a package of one of the extras of `setup.cfg`.

    Args:
        package (`str`): its import name; submodules work too (`"matplotlib.pyplot"`).
        extra (`str`): the extra that brings it.

    Raises:
        ImportError: if it is not installed; the message is the command that installs it.

    Example:

    ```python
    >>> from hf_lcl.support.extras import load_extra

    >>> peft = load_extra("peft", extra="peft")
    ```
    """
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package.partition(".")[0]:
            raise
        raise ImportError(f'{error.name} is not installed: pip install "hf_lcl[{extra}]"') from error
