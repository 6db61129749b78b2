"""The search by KerasTuner itself: Bayesian optimization, with candidates over the budget rejected as too large.

`keras_tuner.Tuner` with `max_model_size` builds a Keras model, counts its parameters and lets the trial fail where they
are too many. Here the plan has the count, and the same training as for the other methods takes the place of `fit`.
"""

import tempfile
from typing import Any

import keras_tuner
from optuna.distributions import CategoricalDistribution, IntDistribution

from benchmarks.search.lane import Record, Task, Trainings
from benchmarks.search.methods import SearchSpace
from cifar_exp.sweep.search.space import Candidate

OBJECTIVE = "val_accuracy"
ENOUGH = 1000  # trials; the images are used up earlier


class _Tuner(keras_tuner.Tuner):
    def __init__(self, trainings: Trainings, space: SearchSpace, record: Record, **options: Any) -> None:
        super().__init__(**options)
        self._trainings, self._space, self._record = trainings, space, record
        self._rejected = 0

    def run_trial(self, trial: Any) -> dict[str, float]:
        """Train a candidate; raise FailedTrialError for one that is too large, FatalError at the end of the search."""
        if self._record.is_used_up:
            raise keras_tuner.errors.FatalError("the images are used up")
        candidate: Candidate = dict(trial.hyperparameters.values)
        if not self._space.pricer.price(candidate).fits:
            self._rejected += 1
            raise keras_tuner.errors.FailedTrialError("oversized model")
        curve = list(self._trainings.accuracies(candidate, []))
        self._record.add(candidate, curve, is_pruned=False, rejected=self._rejected)
        return {OBJECTIVE: max(curve)}


def search_with_keras_tuner(task: Task, space: SearchSpace, trainings: Trainings, record: Record) -> None:
    """Run the tuner until the images are used up."""
    oracle = keras_tuner.oracles.BayesianOptimizationOracle(
        objective=keras_tuner.Objective(OBJECTIVE, "max"),
        max_trials=ENOUGH,
        seed=task.seed,
        hyperparameters=_hyperparameters(space),
        max_retries_per_trial=0,
        max_consecutive_failed_trials=ENOUGH,
    )
    with tempfile.TemporaryDirectory() as directory:
        tuner = _Tuner(trainings, space, record, oracle=oracle, directory=directory)
        try:
            tuner.search()
        except keras_tuner.errors.FatalError:
            return


def _hyperparameters(space: SearchSpace) -> Any:
    found = keras_tuner.HyperParameters()
    for key, swept in space.space.swept.items():
        distribution = swept.distribution
        if isinstance(distribution, IntDistribution):
            found.Int(key, distribution.low, distribution.high, step=distribution.step)
        else:
            assert isinstance(distribution, CategoricalDistribution)
            found.Choice(key, list(distribution.choices))
    return found
