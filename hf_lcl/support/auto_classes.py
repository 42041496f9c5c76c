"""Registers the model with transformers' auto classes when they are imported: importing torch before takes seconds."""

import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any


FOLDER = "hf_lcl.model."
MODEL = f"{FOLDER}modeling"


def _register_config() -> None:
    from transformers.models.auto.configuration_auto import AutoConfig

    config = import_module("hf_lcl.model.configuration").LCLConfig
    AutoConfig.register(config.model_type, config, exist_ok=True)


def _register_model() -> None:
    from transformers.models.auto.modeling_auto import AutoModel, AutoModelForSequenceClassification

    model = import_module(MODEL).LCLForSequenceClassification
    for auto_class in (AutoModel, AutoModelForSequenceClassification):
        auto_class.register(model.config_class, model, exist_ok=True)
    # `hf_lcl/model` is copied into checkpoints, so it cannot import `hf_lcl.hub` itself.
    model.publisher = lambda *args, **kwargs: import_module("hf_lcl.hub").push_model(*args, **kwargs)


# What to run after the import of a module. The model's module itself imports the auto classes of models, so their
# import leads to its import, and it is registered after that.
REGISTRATIONS: dict[str, Callable[[], Any]] = {
    "transformers.models.auto.configuration_auto": _register_config,
    "transformers.models.auto.modeling_auto": partial(import_module, MODEL),
    MODEL: _register_model,
}


class _Registrar(MetaPathFinder):
    """
    Finds the modules of `REGISTRATIONS` as Python does. Once one of them has been imported, registers the model as
    soon as no module of the model is still being imported.
    """

    def __init__(self) -> None:
        self._half_imported = 0
        self._waiting: list[Callable[[], Any]] = []

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        is_of_model = name.startswith(FOLDER)
        if name not in REGISTRATIONS and not is_of_model:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_and_register(module: ModuleType) -> None:
            self._half_imported += is_of_model
            try:
                execute(module)
            finally:
                self._half_imported -= is_of_model
            if name in REGISTRATIONS:
                self._waiting.append(REGISTRATIONS[name])
            while self._waiting and not self._half_imported:
                self._waiting.pop(0)()

        spec.loader.exec_module = execute_and_register  # type: ignore[method-assign]
        return spec


def register_when_imported() -> None:
    """Registers [`LCLConfig`] and [`LCLForSequenceClassification`]: now, or when their auto classes are imported."""
    sys.meta_path.insert(0, _Registrar())
    for name in REGISTRATIONS.keys() & sys.modules.keys():
        REGISTRATIONS[name]()
