"""How much each swept key mattered."""

import warnings
from collections.abc import Sequence

import optuna
from optuna.trial import FrozenTrial

from cifar_exp.sweep.output import ranking
from cifar_exp.sweep.settings import SweepSettings

ENOUGH = 4  # complete trials, below which nothing can be said


def importances(trials: Sequence[FrozenTrial], settings: SweepSettings) -> dict[str, float]:
    """Return how much each swept key set the better trials apart in the first objective: fractions, largest first.

    PED-ANOVA (Watanabe et al. 2023, arXiv:2304.10255). Empty where there are too few different trials.
    """
    done = ranking.complete(trials)
    if len(done) < ENOUGH or len({trial.values[0] for trial in done}) < 2 or not done[0].params:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = optuna.create_study(direction=settings.directions[0])
        study.add_trials(
            optuna.create_trial(value=t.values[0], params=t.params, distributions=t.distributions) for t in done
        )
        try:
            found = optuna.importance.get_param_importances(
                study, evaluator=optuna.importance.PedAnovaImportanceEvaluator()
            )
        except (ValueError, RuntimeError):
            return {}
    return {key: round(float(fraction), 4) for key, fraction in found.items()}
