"""The data sets of the papers, ready to train on: each is an entry of `recipes.json`; the code is the same for all."""

import json
import os
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from datasets import ClassLabel, Dataset, DatasetDict, load_dataset

from hf_lcl import load_splits


SPLITS = ("train", "validation", "test")
DATA_VARIABLE = "HF_LCL_DATA"


@dataclass(frozen=True)
class HubSource:
    """
    Source of a data set on the Hub, and how its rows are converted to texts and class names.

    Args:
        path (`str`): id of the data set.
        text (`str`): column of texts.
        label (`str`): column of labels: names, ids, `ClassLabel`, or lists of these.
        name (`str`, *optional*): configuration of the data set.
        revision (`str`, *optional*): commit or branch; "refs/convert/parquet" where the main branch holds a loading
            script, which `datasets` no longer runs.
        data_files (`dict`, *optional*): maps splits to file patterns.
        first_of (`str`, *optional*): column by which duplicates are dropped: the first row of each value is kept.
        where (`dict[str, list]`): maps columns to the values of the rows to keep.
        several_labels (`str`, *optional*): how lists of labels are read: `"first"` takes the first label, `"only"`
            drops rows with more than one.
        names (`dict[str, str]`): maps labels to class names, where they differ.
        replace (`dict[str, str]`): strings to replace in the texts.
    """

    path: str
    text: str
    label: str
    name: str | None = None
    revision: str | None = None
    data_files: dict[str, str | list[str]] | None = None
    first_of: str | None = None
    where: dict[str, list[Any]] = field(default_factory=dict)
    several_labels: str | None = None
    names: dict[str, str] = field(default_factory=dict)
    replace: dict[str, str] = field(default_factory=dict)

    def standardize(self, dataset: Dataset) -> Dataset:
        """
        Converts rows from the Hub to the columns `text` and `label` (class names).

        Raises:
            ValueError: if a column is missing.
        """
        wanted = {self.text, self.label, self.first_of, *self.where} - {None}
        missing = wanted - set(dataset.column_names)
        if missing:
            raise ValueError(
                f"{self.path} has no column {', '.join(sorted(missing))}; its columns are "
                f"{', '.join(dataset.column_names)}."
            )
        columns = {name: dataset[name][:] for name in wanted}
        rows = list(range(len(dataset)))
        if self.first_of is not None:
            first = {}
            for row, value in enumerate(columns[self.first_of]):
                first.setdefault(value, row)
            rows = list(first.values())
        for name, values in self.where.items():
            rows = [row for row in rows if columns[name][row] in values]
        feature, labels = dataset.features[self.label], columns[self.label]
        if self.several_labels is not None:
            feature = feature.feature
            rows = [row for row in rows if len(labels[row]) == 1 or self.several_labels == "first"]
            labels = [values[0] for values in labels]
        named = [feature.int2str(labels[row]) if isinstance(feature, ClassLabel) else str(labels[row]) for row in rows]
        texts = [columns[self.text][row] for row in rows]
        for old, new in self.replace.items():
            texts = [text.replace(old, new) for text in texts]
        return Dataset.from_dict({"text": texts, "label": [self.names.get(label, label) for label in named]})


@dataclass(frozen=True)
class Recipe:
    """
    Description of a data set, and which of its rows are used.

    Args:
        name (`str`): name of the recipe.
        title (`str`): title of the data set.
        language (`str`): ISO 639-1 code.
        selection (`str`): description of the rows and labels that are used.
        licence (`str`): as its publishers state it.
        citation (`str`): authors, year, title and address.
        classes (`list[str]`): class names, in the order of their ids.
        folder (`str`): name of its folder inside the folder of data sets.
        hub ([`HubSource`], *optional*): `None` if the Hub has no copy that `datasets` can load.
        drop (`list[str]`): classes whose rows are left out.
        folder_where (`dict[str, dict[str, list]]`): for local files, maps splits to columns to the values of the rows
            to keep.
        validation_share (`float`, *optional*, defaults to 0.0): share of the training texts of each class to hold out
            if there is no validation split.
    """

    name: str
    title: str
    language: str
    selection: str
    licence: str
    citation: str
    classes: list[str]
    folder: str
    hub: HubSource | None = None
    drop: list[str] = field(default_factory=list)
    folder_where: dict[str, dict[str, list[Any]]] = field(default_factory=dict)
    validation_share: float = 0.0

    def from_hub(self, splits: DatasetDict) -> DatasetDict:
        """
        Converts splits from the Hub to those that [`load_recipe`] returns.

        Raises:
            ValueError: if columns or labels are not those of the recipe.
        """
        return self._finish({split: self.hub.standardize(dataset) for split, dataset in splits.items()})

    def from_folder(self, splits: DatasetDict) -> DatasetDict:
        """
        Converts splits from local files, which have the columns `text`, `label` (class names) and any others.

        Raises:
            ValueError: if columns or labels are not those of the recipe.
        """
        chosen = {}
        for split, dataset in splits.items():
            where = self.folder_where.get(split, {})
            missing = {"text", "label", *where} - set(dataset.column_names)
            if missing:
                raise ValueError(
                    f"recipe {self.name!r}: the {split} file has no column {', '.join(sorted(missing))}; its columns "
                    f"are {', '.join(dataset.column_names)}."
                )
            columns = {name: dataset[name][:] for name in where}
            rows = range(len(dataset))
            chosen[split] = dataset.select(
                [row for row in rows if all(columns[name][row] in values for name, values in where.items())]
            )
        return self._finish(chosen)

    def _finish(self, splits: dict[str, Dataset]) -> DatasetDict:
        finished = DatasetDict({split: self._encode(split, dataset) for split, dataset in splits.items()})
        lacking = sorted(set(range(len(self.classes))) - set(finished["train"]["label"]))
        if lacking:
            raise ValueError(
                f"recipe {self.name!r}: of {len(self.classes)} classes, the train split has no text of "
                f"{', '.join(self.classes[index] for index in lacking)}."
            )
        if "validation" not in finished:
            held_out = finished["train"].train_test_split(self.validation_share, seed=0, stratify_by_column="label")
            finished["train"], finished["validation"] = held_out["train"], held_out["test"]
        return DatasetDict({split: finished[split] for split in SPLITS})

    def _encode(self, split: str, dataset: Dataset) -> Dataset:
        labels = dataset["label"][:]
        rows = [row for row, label in enumerate(labels) if label not in self.drop]
        unknown = sorted({str(labels[row]) for row in rows} - set(self.classes))
        if unknown:
            raise ValueError(
                f"recipe {self.name!r}: the {split} split has the label {unknown[0]!r}, which is none of its "
                f"{len(self.classes)} classes: {', '.join(self.classes)}."
            )
        return dataset.select(rows).cast_column("label", ClassLabel(names=self.classes))


@cache
def _recipes() -> dict[str, Recipe]:
    entries = json.loads(Path(__file__).with_name("recipes.json").read_text(encoding="utf-8"))
    recipes = {}
    for name, entry in entries.items():
        hub = entry.pop("hub", None)
        source = None if hub is None else HubSource(**hub)
        recipes[name] = Recipe(name=name, hub=source, **{"folder": name} | entry)
    return recipes


def recipe_names() -> list[str]:
    """Names of all recipes."""
    return list(_recipes())


def get_recipe(name: str) -> Recipe:
    """
    The recipe of that name.

    Raises:
        ValueError: if there is none; lists the names.
    """
    if name not in _recipes():
        raise ValueError(f"recipe={name!r} is unknown: use one of {', '.join(map(repr, recipe_names()))}.")
    return _recipes()[name]


def load_recipe(name: str, data_dir: str | Path | None = None, **kwargs: Any) -> tuple[DatasetDict, Recipe]:
    """
    Loads a data set by name: from a local folder if one is given, else from the Hub.

    Args:
        name (`str`): see [`recipe_names`].
        data_dir (`str`, *optional*): folder with one folder per data set, which holds `train.jsonl.gz`,
            `validation.jsonl.gz` and `test.jsonl.gz` (or `.jsonl`), one `{"text": ..., "label": class name}` a line.
            Defaults to the environment variable `HF_LCL_DATA`; without either, the data come from the Hub.
        **kwargs: passed on to `datasets.load_dataset` (`cache_dir`, ...).

    Returns:
        `tuple[datasets.DatasetDict, Recipe]`: the splits train, validation and test, with the columns `text` and
        `label` (a `ClassLabel`), and their recipe.

    Raises:
        ValueError: if the name is unknown, if the data are not found (the message says which files to put where), or
            if the labels are not those of the recipe.

    Example:

    ```python
    >>> from recipes import get_recipe

    >>> recipe = get_recipe("sst5")
    >>> recipe.classes
    ['very negative', 'negative', 'neutral', 'positive', 'very positive']
    ```
    """
    recipe = get_recipe(name)
    data_dir = data_dir or os.environ.get(DATA_VARIABLE)
    if data_dir:
        return recipe.from_folder(load_splits(_local_files(recipe, Path(data_dir)))), recipe
    if recipe.hub is None:
        raise ValueError(f"recipe {name!r} has no source on the Hub. {_what_to_put(recipe)}")
    hub = recipe.hub
    try:
        splits = load_dataset(hub.path, hub.name, revision=hub.revision, data_files=hub.data_files, **kwargs)
    except (OSError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise ValueError(f"recipe {name!r} cannot be loaded from the Hub: {reason}. {_what_to_put(recipe)}") from error
    return recipe.from_hub(splits), recipe


def _local_files(recipe: Recipe, data_dir: Path) -> dict[str, Path]:
    found = {}
    for split in SPLITS:
        paths = [data_dir / recipe.folder / f"{split}{suffix}" for suffix in (".jsonl.gz", ".jsonl")]
        existing = [path for path in paths if path.is_file()]
        if not existing:
            raise ValueError(f"recipe {recipe.name!r}: {paths[0]} does not exist. {_what_to_put(recipe, data_dir)}")
        found[split] = existing[0]
    return found


def _what_to_put(recipe: Recipe, data_dir: Path | None = None) -> str:
    names = ", ".join(f"{split}.jsonl.gz" for split in SPLITS)
    files = f'Put {names} (one {{"text": ..., "label": class name}} a line) into'
    if data_dir is not None:
        return f"{files} {data_dir / recipe.folder}."
    return f"{files} FOLDER/{recipe.folder}, and give --data_dir FOLDER or set {DATA_VARIABLE}=FOLDER."
