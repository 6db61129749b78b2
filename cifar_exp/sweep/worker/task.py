"""A trial's job, in whichever process the launcher runs it."""

import io
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from cifar_exp.files import write_json
from cifar_exp.sweep.study.storage import STORAGE_VARIABLE
from cifar_exp.sweep.worker.outcome import outcome_in

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class TrialTask:
    """A task function, its trial kept alive in the storage while it runs; launchers may pickle it.

    An exception is left in `result.json` with its reason, unless the run has done so.
    """

    task: Callable[[DictConfig], Any]
    storage: str  # URL with its password, which the job's config does not show
    grace_period: int
    threads: int | None  # of a job where several share this machine
    worker: tuple[str, int]  # host and process of the sweeper, which sees to the jobs in its own process

    def __call__(self, cfg: DictConfig) -> Any:
        """Runs the job; what it prints as its result is the sweep's to show."""
        if OmegaConf.select(cfg, "trial") is None:
            return self.task(cfg)
        os.environ[STORAGE_VARIABLE] = self.storage
        if self.threads is not None:
            _limit_threads(self.threads)
        with self._alive(cfg), redirect_stdout(io.StringIO()):
            try:
                return self.task(cfg)
            except KeyboardInterrupt:
                raise
            except SystemExit as end:
                error = RuntimeError(f"the job ended with exit status {end.code}")
                _leave_reason(error)
                raise error from None
            except BaseException as error:
                _leave_reason(error)
                raise

    @contextmanager
    def _alive(self, cfg: DictConfig) -> Iterator[None]:
        """Signs of life from this process, where it is not the sweeper's own."""
        if (socket.gethostname(), os.getpid()) == self.worker:
            yield
            return
        from cifar_exp.runs.lock import Lock
        from cifar_exp.sweep.study.heartbeat import Heart, this_worker
        from cifar_exp.sweep.study.storage import open_storage
        from cifar_exp.sweep.study.study import ATTEMPT, WORKER

        storage = open_storage(self.storage)
        study = storage.get_study_id_from_name(cfg.trial.study_name)
        trial = storage.get_trial_id_from_study_id_trial_number(study, cfg.trial.number)
        attrs = storage.get_trial(trial).user_attrs
        if attrs.get(ATTEMPT, cfg.trial.attempt) != cfg.trial.attempt:
            raise RuntimeError(f"trial {cfg.trial.number} has been taken over while this job waited")
        known = attrs.get(WORKER)
        path = known["lock"] if known else Path(HydraConfig.get().sweep.dir) / ".locks" / str(cfg.trial.number)
        with Lock(Path(path)) as lock, Heart(storage, self.grace_period) as heart:
            lock.share()
            storage.set_trial_user_attr(trial, WORKER, this_worker(lock.path))
            heart.add(trial)
            yield


def _limit_threads(threads: int) -> None:
    for variable in THREADS:
        os.environ.setdefault(variable, str(threads))
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


def _leave_reason(error: BaseException) -> None:
    directory = Path(HydraConfig.get().runtime.output_dir)
    if outcome_in(directory, ()) is None:
        reason = f"{type(error).__name__}: {error}".strip(": ")
        write_json(directory / "result.json", {"status": "failed", "reason": reason})
