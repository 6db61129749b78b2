"""Between Hydra's plugin interface and the sweep: what Hydra hands over, made into the sweep's parts."""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, configure_log, run_job
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf
from optuna.trial import FrozenTrial

from cifar_exp.config.devices import most_processes, too_many_processes
from cifar_exp.config.jobs import set_hydra
from cifar_exp.config.overrides import expressions, parse_overrides, written
from cifar_exp.errors import UserError
from cifar_exp.runs.lock import take
from cifar_exp.sweep.output.display import Display
from cifar_exp.sweep.output.outputs import Outputs
from cifar_exp.sweep.search.pricing import PlanPricer, Pricer
from cifar_exp.sweep.search.proposals import Proposer
from cifar_exp.sweep.search.space import Space, build_space
from cifar_exp.sweep.settings import parse_settings
from cifar_exp.sweep.study.heartbeat import this_worker
from cifar_exp.sweep.study.storage import (
    absolute_url,
    check_file_exists,
    close_storage,
    default_url,
    masked,
    reason_of,
    storage_errors,
)
from cifar_exp.sweep.study.study import ended
from cifar_exp.sweep.worker.driver import Driver
from cifar_exp.sweep.worker.jobs import Jobs
from cifar_exp.sweep.worker.loop import Worker
from cifar_exp.sweep.worker.preemption import interrupted_when_time_is_up
from cifar_exp.sweep.worker.task import INTERRUPTED, DriverWatch, TrialTask, limit_threads

log = logging.getLogger(__name__)

ON_THIS_MACHINE = ("joblib", "submitit_launcher.LocalLauncher")  # launchers
AGAIN = "Once it can be used, the same command continues the sweep."
QUIET = ("hydra_plugins", "submitit")  # loggers whose messages the table replaces

Report = Callable[[Sequence[FrozenTrial]], None]


class Adapter:
    """One sweep as Hydra's plugin sees it; a launcher pickles it for each worker's process."""

    def __init__(
        self,
        settings: dict[str, Any],
        hydra_context: HydraContext,
        task_function: TaskFunction,
        config: DictConfig,
    ) -> None:
        plain = {key: OmegaConf.to_container(v) if OmegaConf.is_config(v) else v for key, v in settings.items()}
        self._settings = parse_settings(plain)
        self._context = hydra_context
        self._loader = hydra_context.config_loader
        self._sweep_dir = Path(str(config.hydra.sweep.dir)).absolute()
        storage = self._settings.storage
        self._launcher_name = str(config.hydra.launcher.get("_target_"))
        default = default_url(self._sweep_dir, several_machines=not self._is_here)
        self._url = default if storage is None else absolute_url(storage)
        self._config = _without_password(config, storage)
        self._task = TrialTask(task_function, self._url)

    @property
    def _is_basic(self) -> bool:
        return self._launcher_name.endswith("BasicLauncher")

    @property
    def _is_joblib(self) -> bool:
        return "joblib" in self._launcher_name

    @property
    def _is_alone(self) -> bool:
        """Whether this process is the only worker; one worker of joblib would run in it too, and leave another idle."""
        return self._is_basic or (self._is_joblib and self._settings.n_jobs == 1)

    @property
    def _is_here(self) -> bool:
        """Whether all workers run on this machine."""
        return self._is_basic or any(name in self._launcher_name for name in ON_THIS_MACHINE)

    def sweep(self, arguments: list[str]) -> list[Sequence[JobReturn]]:
        """Run the sweep; return what each trial of this process returned.

        Raises:
            UserError: nothing is within the budget, or a cause that all trials share.
        """
        with self._storage_in_use():
            worker = self._worker(arguments)
            self._check_workers()
            worker.check()
            return self._in_this_process(worker) if self._is_alone else self._in_workers(worker, arguments)

    def _work(self, arguments: list[str], driver: DriverWatch, _: DictConfig) -> None:
        """Be one of several workers, in a process of its own; the task function of a launcher."""
        if self._is_here and self._settings.n_jobs > 1:
            limit_threads(1)
        try:
            with interrupted_when_time_is_up(), self._storage_in_use():
                worker = self._worker(arguments)
                study = worker.open()

                def look() -> None:
                    driver.look(study.driver_beat(driver.token))

                look()  # the job may have waited in a queue for long
                study.heartbeat.add("driver", look)
                worker.run(lambda _: None, lambda: not driver.is_gone)
        except KeyboardInterrupt:
            if driver.is_gone:
                os._exit(INTERRUPTED)  # nobody waits for this process any more, and some launchers would keep it
            raise

    def _check_workers(self) -> None:
        """Raise UserError where this machine has too few cores for its workers."""
        n_jobs = self._settings.n_jobs
        if self._is_here and not self._is_basic and n_jobs > most_processes():
            raise too_many_processes("hydra.sweeper.n_jobs", n_jobs)

    def _in_this_process(self, worker: Worker) -> list[Sequence[JobReturn]]:
        if self._settings.n_jobs > 1:
            log.warning(
                "n_jobs=%d: Hydra's basic launcher runs one trial after the other; hydra/launcher=joblib several.",
                self._settings.n_jobs,
            )
        worker.open()
        with self._shown(worker) as report:
            worker.run(report, lambda: True)
        worker.check_any()
        return [worker.returns]  # one batch: trials follow each other

    def _in_workers(self, worker: Worker, arguments: list[str]) -> list[Sequence[JobReturn]]:
        study, token = worker.open(), uuid4().hex
        file = self._sweep_dir / ".locks" / f"driver-{token}"
        with ExitStack() as stack:
            lock = take(file)
            if lock is not None:
                stack.callback(lock.release)
            stack.enter_context(study.heartbeat)
            study.heartbeat.add("driver", lambda: study.beat_driver(token))
            self._prepare_launcher(stack)
            watch = DriverWatch(this_worker(file, token), self._settings.grace_period)
            launch = self._worker_launch(worker, partial(self._work, arguments, watch))
            left = max(0, self._settings.n_trials - len(ended(study.trials())))
            driver = Driver(launch, min(self._settings.n_jobs, left), together=self._is_joblib)
            report = stack.enter_context(self._shown(worker))
            driver.run(study, worker.is_over, report)
        worker.check_any()
        return []

    @contextmanager
    def _shown(self, worker: Worker) -> Iterator[Report]:
        """Keep the table and the files of the sweep up to date by what is yielded."""
        study = worker.study
        outputs = Outputs(self._sweep_dir, self._settings, worker.jobs.space, self._config.get("budget") or {})
        with Display(self._settings, study.trials) as display:

            def report(trials: Sequence[FrozenTrial]) -> None:
                outputs.update(trials)
                display.update()

            try:
                yield report
            finally:
                outputs.update(study.trials())
            display.finish()
        outputs.finish(study.trials())

    @contextmanager
    def _storage_in_use(self) -> Iterator[None]:
        """Report a storage that fails, whatever its driver raises, as one message; close it at the end."""
        try:
            yield
        except storage_errors() as error:
            check_file_exists(self._url)
            raise UserError(
                f"hydra.sweeper.storage: {masked(self._url)} can no longer be used:\n{reason_of(error)}\n{AGAIN}"
            ) from None
        except OSError as error:
            check_file_exists(self._url)
            raise UserError(f"{error.filename or self._sweep_dir}: {error.strerror or error}.\n{AGAIN}") from None
        finally:
            close_storage(self._url)

    def _worker(self, arguments: list[str]) -> Worker:
        space = build_space(parse_overrides([*expressions(self._settings.params), *arguments], self._loader))
        jobs = Jobs(space, self._config, self._compose, self._settings.study_name, self._url)
        return Worker(self._settings, Proposer(space, self._pricer(space), self._settings), jobs, self._launch)

    def _compose(self, overrides: list[str]) -> DictConfig:
        return self._loader.load_sweep_config(self._config, overrides)

    def _pricer(self, space: Space) -> Pricer:
        if all(key in self._config for key in ("model", "data", "budget")):
            return PlanPricer(space, self._compose, self._loader.list_groups(""))
        return Pricer()

    def _launch(self, cfg: DictConfig) -> JobReturn:
        """Run a trial in this process, as Hydra's basic launcher does."""
        returned = run_job(
            hydra_context=self._context,
            task_function=self._task,
            config=cfg,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )
        configure_log(self._config.hydra.hydra_logging, self._config.hydra.verbose)
        return returned

    def _worker_launch(self, worker: Worker, task: TaskFunction) -> Callable[[int, int], Sequence[JobReturn]]:
        """Return what starts workers through Hydra's launcher, whose own messages the sweep's table replaces."""
        overrides = worker.jobs.space.overrides(worker.example)

        def launch(first: int, count: int) -> Sequence[JobReturn]:
            launcher = Plugins.instance().instantiate_launcher(
                hydra_context=self._context, task_function=task, config=self._launcher_config(count)
            )
            jobs = [
                [*overrides, f"hydra.sweep.subdir={written(f'.workers/{number}')}"]
                for number in range(first, first + count)
            ]
            returns: Sequence[JobReturn] = launcher.launch(jobs, initial_job_idx=first)
            return returns

        for name in QUIET:
            logging.getLogger(name).setLevel(logging.INFO if self._config.hydra.verbose else logging.ERROR)
        return launch

    def _prepare_launcher(self, stack: ExitStack) -> None:
        """Do in this process, once, what the launchers do in none or in each of the threads that start workers."""
        if "SlurmLauncher" in self._launcher_name:
            from cifar_exp.sweep.worker.slurm import watch_the_queue

            stack.callback(watch_the_queue().cancel_jobs)
        if "RayLauncher" in self._launcher_name:
            from cifar_exp.sweep.worker.ray_cluster import connect

            options = OmegaConf.to_container(self._config.hydra.launcher.ray.init, resolve=True)
            assert isinstance(options, dict)
            connect({str(key): value for key, value in options.items()})

    def _launcher_config(self, workers: int) -> DictConfig:
        """Joblib starts a process for every core, unless it is given the number of the sweep's workers."""
        if self._is_joblib:
            set_hydra(self._config, {"launcher.n_jobs": workers})
        return self._config


def _without_password(config: DictConfig, storage: str | None) -> DictConfig:
    """`config` with the storage's password masked wherever Hydra would write it down."""
    config = config.copy()
    if storage is None or masked(storage) == storage:
        return config
    given = map(str, OmegaConf.to_container(config.hydra.overrides.hydra, resolve=False) or ())
    hidden = f"hydra.sweeper.storage={written(masked(storage))}"
    kept = [hidden if "hydra.sweeper.storage=" in one else one for one in given]
    set_hydra(config, {"sweeper.storage": masked(storage), "overrides.hydra": kept})
    return config
