"""Packages that only some users need: imported when they are used, with an error that says how to get them."""

from importlib import import_module
from types import ModuleType


def load_extra(package: str, extra: str) -> ModuleType:
    """
    Imports `package` (`"matplotlib.pyplot"`), which one of the extras of `setup.cfg` brings.

    Raises:
        ImportError: if it is not installed; the message is the command that installs it.
    """
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package.partition(".")[0]:
            raise
        raise ImportError(f'{error.name} is not installed: pip install "hf_lcl[{extra}]"') from error
