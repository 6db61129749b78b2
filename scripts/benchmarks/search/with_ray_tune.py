"""The search by Ray Tune itself: ASHA at its defaults, uniform candidates, drawn again while over the budget."""

import json
from functools import cache
from random import Random
from typing import Any

import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler

from benchmarks.search.lane import Record, Task, Trainings
from benchmarks.search.methods import SearchSpace
from cifar_exp.sweep.search.space import Candidate

ACCURACY = "val/acc"


class _Recorded(tune.Callback, tune.Stopper):
    """Record the trials as they end, and stop the search once its images are used up."""

    def __init__(self, record: Record, epochs: int) -> None:
        self._record, self._epochs = record, epochs
        self._curves: dict[str, list[float]] = {}
        self.rejected = 0

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Keep the accuracy of an epoch."""
        self._curves.setdefault(trial.trial_id, []).append(result[ACCURACY])

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Record a trial that has ended, by itself or because the scheduler has stopped it."""
        curve = self._curves.pop(trial.trial_id)
        if not self._record.is_used_up:
            self._record.add(trial.config["candidate"], curve, len(curve) < self._epochs, self.rejected)

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Return False: no trial is stopped by its own figures."""
        return False

    def stop_all(self) -> bool:
        """Return whether the images are used up."""
        return self._record.is_used_up


def search_with_ray_tune(task: Task, space: SearchSpace, record: Record) -> None:
    """Run `tune.Tuner`, one trial at a time."""
    random = Random(task.seed)
    epochs: int = record.content["epochs"]
    recorded = _Recorded(record, epochs)

    def drawn(_: Any) -> Candidate:
        while True:
            candidate = {key: swept.draw(random) for key, swept in space.space.swept.items()}
            if space.pricer.price(candidate).fits:
                return candidate
            recorded.rejected += 1

    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, object_store_memory=80 * 2**20)
    tuner = tune.Tuner(
        tune.with_parameters(_train, task=json.dumps(task.__dict__)),
        param_space={"candidate": tune.sample_from(drawn)},
        tune_config=tune.TuneConfig(
            metric=ACCURACY,
            mode="max",
            num_samples=1000,
            max_concurrent_trials=1,
            scheduler=ASHAScheduler(max_t=epochs),
        ),
        run_config=tune.RunConfig(callbacks=[recorded], stop=recorded, verbose=0),
    )
    tuner.fit()
    ray.shutdown()


def _train(config: dict[str, Any], task: str) -> None:
    for accuracy in _trainings(task).accuracies(config["candidate"], []):
        tune.report({ACCURACY: accuracy})


@cache
def _trainings(task: str) -> Trainings:
    given = Task(**json.loads(task))
    space = SearchSpace(given.widths, given.fixed, given.fill)
    return Trainings(space, [*given.fixed, *given.trial], given.seed)
