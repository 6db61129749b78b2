"""What a worker runs, a trial, and what it watches, the process that started the sweep."""

import _thread
import io
import os
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from cifar_exp.errors import TakenOverError
from cifar_exp.runs.directory import RunDir
from cifar_exp.runs.result import Result
from cifar_exp.sweep.study.heartbeat import Watch, is_elsewhere, lock_of_dead
from cifar_exp.sweep.study.storage import STORAGE_VARIABLE
from cifar_exp.sweep.worker.outcome import is_common_cause, outcome_in

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
INTERRUPTED = 130  # exit status


@dataclass(frozen=True)
class TrialTask:
    """A task function whose exception is written to `result.json` with its reason, unless the run has done so."""

    task: Callable[[DictConfig], Any]
    storage: str  # URL with its password, which the job's config does not show

    def __call__(self, cfg: DictConfig) -> Any:
        """Run the job; what it prints is discarded, because the sweep shows its results."""
        if OmegaConf.select(cfg, "trial") is None:
            return self.task(cfg)
        os.environ[STORAGE_VARIABLE] = self.storage
        with redirect_stdout(io.StringIO()):
            try:
                return self.task(cfg)
            except (KeyboardInterrupt, TakenOverError):
                raise
            except SystemExit as end:
                error = RuntimeError(f"the job ended with exit status {end.code}")
                _leave_reason(error)
                raise error from None
            except BaseException as error:
                if not is_common_cause(error):
                    _leave_reason(error)
                raise


def _leave_reason(error: BaseException) -> None:
    directory = Path(HydraConfig.get().runtime.output_dir)
    if outcome_in(directory, ()) is None:
        reason = f"{type(error).__name__}: {error}".strip(": ")
        RunDir(directory).write_result(Result.model_validate({"status": "failed", "reason": reason}))


class DriverWatch:
    """Watch the process that started the sweep, and interrupt this one once it is gone.

    Args:
        driver: its host, lock and token.
        grace_period: seconds without a heartbeat after which a process on another machine counts as dead.
    """

    def __init__(self, driver: dict[str, str], grace_period: int) -> None:
        self._driver = driver
        self._watch = Watch(grace_period)
        self.token = driver["token"]
        self.is_gone = False

    def look(self, beat: Any) -> None:
        """Interrupt the main thread if the driver is gone; where that has no effect, end the process.

        Args:
            beat: the driver's counter in the study, None before its first.
        """
        if self.is_gone:
            os._exit(INTERRUPTED)
        lock = lock_of_dead(self._driver)
        if lock is not None:
            lock.release()
        if lock is not None or (is_elsewhere(self._driver) and self._watch.is_silent(0, beat)):
            self.is_gone = True
            _thread.interrupt_main()


def limit_threads(threads: int) -> None:
    """Let this process use `threads` threads, unless the environment sets another number."""
    for variable in THREADS:
        os.environ.setdefault(variable, str(threads))
    if torch := sys.modules.get("torch"):  # loaded later, it reads the variables
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
