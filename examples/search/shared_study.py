"""An optuna study in a SQLite file, which several processes can share and which survives killed processes."""

import sqlite3
import time
import warnings
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers.utils import logging

from hf_lcl.support.extras import load_extra


if TYPE_CHECKING:
    from optuna.storages import RDBStorage
    from optuna.trial import FrozenTrial, Trial

    from hf_lcl.trainer import ContrastiveTrainer

logger = logging.get_logger(__name__)

HEARTBEAT_SECONDS = 5
# A trial without a heartbeat for this long counts as killed.
GRACE_SECONDS = 30
PATIENCE_SECONDS = 60  # how long to wait for a locked file


def open_storage(path: Path, grace_seconds: int = GRACE_SECONDS) -> "RDBStorage":
    """
    A SQLite file as an optuna storage. Running trials write heartbeats to it, so that killed trials are detected.

    Args:
        path (`Path`): the file; created if missing.
        grace_seconds (`int`, *optional*, defaults to 30): how long a running trial may go without a heartbeat.

    Raises:
        ImportError: if optuna is not installed.
        ValueError: if the file exists and is not a SQLite file.
    """
    optuna = load_extra("optuna", extra="search")
    if path.exists():
        with open(path, "rb") as file:
            if file.read(15) not in (b"", b"SQLite format 3"):
                raise ValueError(
                    f"study_db={str(path)!r} is no SQLite file: name another, or one that does not exist."
                )
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # heartbeats
        storage = optuna.storages.RDBStorage(
            f"sqlite:///{path}",
            engine_kwargs={"connect_args": {"timeout": PATIENCE_SECONDS, "isolation_level": None}},
            heartbeat_interval=HEARTBEAT_SECONDS,
            grace_period=grace_seconds,
        )
    # SQLite has no SELECT ... FOR UPDATE: two processes that read before they write could take the same trial from the
    # queue. Each transaction therefore takes the write lock when it begins.
    event = load_extra("sqlalchemy.event", extra="search")
    event.listen(storage.engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return storage


class SharedStudy:
    """
    A list of trials and their results in a file.

    Each trial has a place in the list and waits in optuna's queue, from which all processes take trials. Completed and
    pruned trials are not run again; interrupted and failed ones are, with the same values.

    Args:
        path (`Path`): the SQLite file.
        name (`str`): name of the study; a file may hold several.
        direction (`str`): `"maximize"` or `"minimize"`.
        trials (`list[dict]`): fixed values of each trial; optuna's TPE sampler suggests the others.
        settings (`dict`): settings common to all trials.
        seed (`int`, *optional*, defaults to 0): seed of the sampler.
        prune (`bool`, *optional*, defaults to `True`): whether to stop a trial that is worse than the median of the
            earlier ones at the same share of its training.
        grace_seconds (`int`, *optional*, defaults to 30): see [`open_storage`].

    Raises:
        ImportError: if optuna or filelock is not installed.
        ValueError: if the file is not a SQLite file, or its study was started with other `settings`.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        direction: str,
        trials: list[dict[str, Any]],
        settings: dict[str, Any],
        seed: int = 0,
        prune: bool = True,
        grace_seconds: int = GRACE_SECONDS,
    ):
        self.optuna = load_extra("optuna", extra="search")
        self.path, self.name, self.direction, self.seed = path, name, direction, seed
        self._planned, self._grace = trials, timedelta(seconds=grace_seconds)
        # Prunes after the first epoch at the earliest, with five trials to compare with; for steps, see the trainer.
        pruners = self.optuna.pruners
        self._pruner = pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=100) if prune else pruners.NopPruner()
        path.parent.mkdir(parents=True, exist_ok=True)
        self.lock = load_extra("filelock", extra="search").FileLock(f"{path}.lock")
        with self.lock:  # only one process may create the tables and the study
            self._storage = open_storage(path, grace_seconds)
            self.study = self.optuna.create_study(
                storage=self._storage, study_name=name, direction=direction, load_if_exists=True
            )
            self._check_settings(settings)
        self._fill_queue()

    def _check_settings(self, settings: dict[str, Any]) -> None:
        begun_with = self.study.user_attrs.get("settings", settings)
        different = sorted(
            key for key in begun_with.keys() | settings.keys() if begun_with.get(key) != settings.get(key)
        )
        if different:
            changes = ", ".join(f"{key} was {begun_with.get(key)!r}, is {settings.get(key)!r}" for key in different)
            raise ValueError(
                f"The search {self.name} in {self.path} was begun with other settings ({changes}): trials could not "
                "be compared. Name another study_db."
            )
        self.study.set_user_attr("settings", settings)

    def trials(self) -> list["FrozenTrial"]:
        """The latest trial of each place; an interrupted trial is replaced by the one that repeats it."""
        trials = {trial.user_attrs["place"]: trial for trial in self.study.trials if "place" in trial.user_attrs}
        return [trials[place] for place in sorted(trials)]

    def run(
        self,
        trainer: "ContrastiveTrainer",
        hp_space: Callable[["Trial"], dict[str, Any]],
        compute_objective: Callable[[dict[str, float]], float],
        timeout: float | None = None,
    ) -> bool:
        """
        Runs trials until all have ended, including those of other processes.

        Args:
            trainer ([`ContrastiveTrainer`]): a trainer with a `model_init`.
            hp_space (`Callable`): as in `hyperparameter_search`.
            compute_objective (`Callable`): likewise.
            timeout (`float`, *optional*): start no trial after this many seconds.

        Returns:
            `bool`: whether all have ended.
        """
        deadline = time.monotonic() + (float("inf") if timeout is None else timeout)
        while time.monotonic() < deadline:
            self._fill_queue()
            trials = self.trials()
            running = [str(trial.number) for trial in trials if trial.state.name == "RUNNING"]
            if any(trial.state.name == "WAITING" for trial in trials):
                self._run_next(trainer, hp_space, compute_objective)
            elif running:
                logger.warning_once(f"Waiting for trials that run elsewhere, or were cut short: {', '.join(running)}.")
                time.sleep(1)
            else:
                return True
        return False

    def _run_next(self, trainer: "ContrastiveTrainer", hp_space: Callable, compute_objective: Callable) -> None:
        taken = []

        def values(trial: "Trial") -> dict[str, Any]:
            taken.append(trial.number)
            if "place" not in trial.user_attrs:
                raise self.optuna.TrialPruned("Another process was faster to take the last trial that waited.")
            # A different seed for each trial, so that processes and resumed searches do not draw the same values.
            trial.study.sampler = self.optuna.samplers.TPESampler(seed=self.seed + trial.user_attrs["place"])
            return hp_space(trial)

        try:
            trainer.hyperparameter_search(
                hp_space=values,
                compute_objective=compute_objective,
                n_trials=1,
                direction=self.direction,
                storage=self._storage,
                study_name=self.name,
                load_if_exists=True,
                pruner=self._pruner,
            )
        except ValueError:
            # The Trainer reads the best trial after each one, which raises while all have been pruned.
            if not taken or self.study.trials[taken[-1]].state.name != "PRUNED":
                raise

    def _fill_queue(self) -> None:
        """Enqueues trials that have not run yet, and interrupted ones again; the lock keeps other processes out."""
        failed = self.optuna.trial.TrialState.FAIL
        with self.lock, warnings.catch_warnings():
            warnings.simplefilter("ignore", self.optuna.exceptions.ExperimentalWarning)
            self.optuna.storages.fail_stale_trials(self.study)
            # optuna does not detect a trial that was killed before its first heartbeat, and has no call that tells.
            with closing(sqlite3.connect(self.path, timeout=PATIENCE_SECONDS)) as file:
                alive = {trial_id for (trial_id,) in file.execute("SELECT trial_id FROM trial_heartbeats")}
            for trial in self.trials():
                is_silent = trial.state.name == "RUNNING" and trial._trial_id not in alive
                if is_silent and datetime.now() - trial.datetime_start > self._grace:
                    self.study.tell(trial.number, state=failed)
            present = {trial.user_attrs["place"]: trial for trial in self.trials()}
            for place, given in enumerate(self._planned):
                if place not in present:
                    self.study.enqueue_trial(given, user_attrs={"place": place})
                elif present[place].state == failed:
                    self.study.enqueue_trial(given | present[place].params, user_attrs={"place": place})
