"""Optional packages: imported when they are used, with an error that says how to install them."""

from importlib import import_module
from types import ModuleType


def load_extra(package: str, extra: str) -> ModuleType:
    """Imports the package of an extra; the `ImportError` for a missing one gives the command that installs it."""
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package.partition(".")[0]:
            raise
        raise ImportError(f'{error.name} is not installed: pip install "hf_lcl[{extra}]"') from error
