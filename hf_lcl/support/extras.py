"""Packages that only some users need: imported when they are used, with an error that says how to get them."""

from importlib import import_module
from types import ModuleType


def load_extra(package: str, extra: str) -> ModuleType:
    """Imports a package that an extra of `setup.cfg` brings; an `ImportError` says what installs it."""
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package.partition(".")[0]:
            raise
        raise ImportError(f'{error.name} is not installed: pip install "hf_lcl[{extra}]"') from error
