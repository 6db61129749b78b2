"""The samplers that `hydra/sweeper/sampler` chooses from, each made to propose what fits.

The budget is known beforehand and costs nothing to check, so it is no constraint to be learnt from failures: TPE and
GP maximise their acquisition over the candidates that fit. Teaching TPE the rejected ones as Optuna's soft
constraints instead made it shun the neighbourhood of the budget, where the best networks are.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import GPSampler, NSGAIISampler, RandomSampler, TPESampler

from cifar_exp.errors import UserError, did_you_mean
from cifar_exp.sweep.search.space import Candidate

Fits = Callable[[Candidate], bool]
Pool = Callable[[], Sequence[Candidate]]

SAMPLERS = ("tpe", "random", "gp", "nsgaii", "grid")
EI_CANDIDATES = 24  # TPE compares so many that fit, as Optuna's default of `n_ei_candidates` does
DRAWS = 2048  # out of at most so many samples of its density


class FittingTPE(TPESampler):
    """TPE whose expected improvement is compared among samples that fit.

    Where Optuna's internals change, it is TPE, and what does not fit is rejected afterwards.
    """

    def __init__(self, distributions: Mapping[str, BaseDistribution], fits: Fits, **options: Any) -> None:
        self._distributions = distributions
        self._fits = fits
        self._compared = int(options.pop("n_ei_candidates", EI_CANDIDATES))
        super().__init__(n_ei_candidates=max(DRAWS, self._compared), **{"multivariate": True, **options})

    def _compute_acquisition_func(self, samples: dict[str, np.ndarray], *estimators: Any) -> np.ndarray:
        values = super()._compute_acquisition_func(samples, *estimators)
        if samples.keys() != self._distributions.keys():
            return values
        fitting = 0
        for index in range(len(values)):
            if fitting < self._compared and self._fits(self._candidate(samples, index)):
                fitting += 1
            else:
                values[index] = -np.inf
        return values

    def _candidate(self, samples: dict[str, np.ndarray], index: int) -> Candidate:
        return {
            key: distribution.to_external_repr(samples[key][index].item())
            for key, distribution in self._distributions.items()
        }


class FittingGP(GPSampler):
    """A Gaussian process whose acquisition is maximised over a pool of candidates that fit."""

    def __init__(self, pool: Pool, **options: Any) -> None:
        self._pool = pool
        super().__init__(**options)

    def _optimize_acqf(self, acqf: Any, best_params: np.ndarray | None) -> np.ndarray:
        pool = list(self._pool())
        normalized = acqf.search_space.get_normalized_params([None] * len(pool), pool)
        return normalized[int(np.argmax(acqf.eval_acqf_no_grad(normalized)))]


def build_sampler(
    settings: Mapping[str, Any], seed: int | None, distributions: Mapping[str, BaseDistribution], fits: Fits, pool: Pool
) -> optuna.samplers.BaseSampler:
    """The sampler of `settings`, its `name` and Optuna's own options.

    Raises UserError for an unknown name or option.
    """
    options = dict(settings)
    name = str(options.pop("name", "tpe"))
    if name not in SAMPLERS:
        raise UserError(
            f"hydra.sweeper.sampler.name: no '{name}'.{did_you_mean(name, SAMPLERS)} {', '.join(SAMPLERS)}."
        )
    try:
        if name == "tpe":
            return FittingTPE(distributions, fits, seed=seed, **options)
        if name == "gp":
            return FittingGP(pool, seed=seed, warn_independent_sampling=False, **options)
        if name == "nsgaii":
            return NSGAIISampler(seed=seed, **options)
        return RandomSampler(seed=seed, **options)
    except (TypeError, ValueError) as error:
        raise UserError(f"hydra.sweeper.sampler ({name}): {error}.") from None


def startup_trials(settings: Mapping[str, Any]) -> float:
    """How many trials must have ended before the sampler has something to go by."""
    name = settings.get("name", "tpe")
    if name in ("random", "grid"):
        return float("inf")
    return 0 if name == "nsgaii" else int(settings.get("n_startup_trials", 10))
