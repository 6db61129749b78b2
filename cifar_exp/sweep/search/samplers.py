"""The samplers that `hydra/sweeper/sampler` chooses from, and the wrapper that keeps their proposals within the budget.

The budget is known beforehand and costs nothing to check, so it is not a constraint to be learned from failures: the
wrapper asks Optuna's sampler again until a candidate is within the budget. Reporting the rejected candidates to TPE as
soft constraints instead made it avoid the neighbourhood of the budget, where the best networks are.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from cifar_exp.sweep.search.pruners import made_by_name
from cifar_exp.sweep.search.space import Candidate

HISTORY = {"gp": 120}  # trials that a sampler learns from; a Gaussian process takes cubic time
DEFAULT_HISTORY = 1000

# Asks of the wrapped sampler for one proposal. A count, not a time: a proposal depends on the seed and the study alone.
ASKS = {"gp": 2}
DEFAULT_ASKS = 8

# Up to so many integers, Optuna's GP sampler tries each; among more it searches along lines, for many seconds.
TRIED_EACH = 16


class WithinBudgetSampler(BaseSampler):
    """Ask another sampler until a candidate is accepted.

    Args:
        wrapped: the sampler that is asked.
        asks: how often it is asked for one trial, at most.
        accepts: whether a candidate is within the budget and new.
        fallback: a candidate that is accepted, given the last one that was not (None: the sampler has not begun).
        searched: the space of every trial, without keys of a single value.
    """

    def __init__(
        self,
        wrapped: BaseSampler,
        asks: int,
        accepts: Callable[[Candidate], bool],
        fallback: Callable[[Candidate | None], Candidate],
        searched: Mapping[str, BaseDistribution],
    ) -> None:
        self._searched = dict(searched)
        self._wrapped = wrapped
        self._asks = asks
        self._accepts = accepts
        self._fallback = fallback

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the whole space of the trial: it is the same for all trials of a study."""
        return self._searched

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> Candidate:
        """Return values for `search_space` that are accepted together with the keys of a single value."""
        last: Candidate | None = None
        for _ in range(self._asks):
            sampled = self._wrapped.sample_relative(study, trial, search_space)
            if search_space.keys() - sampled.keys():  # fewer trials than the sampler needs to begin
                break
            if self._accepts(sampled):
                return sampled
            last = sampled
        return self._fallback(last)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return what the wrapped sampler draws for one key."""
        return self._wrapped.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Prepare the wrapped sampler."""
        self._wrapped.before_trial(study, trial)

    def after_trial(self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        """Do nothing: the trial that is asked for here is never the one that is trained."""


def distribution_for(sampler: str, distribution: BaseDistribution) -> BaseDistribution:
    """Return what a sampler searches for a key: its distribution, or for `gp` reals instead of many integers.

    The acquisition function is then maximized along its gradient, and the nearest integer is proposed.
    """
    if sampler != "gp" or not isinstance(distribution, IntDistribution):
        return distribution
    low, high = distribution.low, distribution.high
    if high - low < TRIED_EACH * distribution.step:
        return distribution
    return FloatDistribution(low, high, log=distribution.log)


def build_sampler(settings: Mapping[str, Any], seed: int | None) -> BaseSampler | None:
    """Return Optuna's sampler of `settings`, its `name` and Optuna's own options; None for random and grid.

    Raises:
        UserError: an unknown name or option.
    """
    makers: dict[str, Callable[..., BaseSampler | None]] = {
        "tpe": partial(_tpe, seed),
        "random": _no_sampler,
        "gp": partial(GPSampler, seed=seed, warn_independent_sampling=False),
        "nsgaii": partial(NSGAIISampler, seed=seed),
        "grid": _no_sampler,
    }
    sampler: BaseSampler | None = made_by_name("hydra.sweeper.sampler", {"name": "tpe", **settings}, makers)
    return sampler


def _tpe(seed: int | None, multivariate: bool = True, group: bool = False, **options: Any) -> BaseSampler:
    """Return the TPE sampler. Raises ValueError for options that let it propose a candidate key by key."""
    if group or not multivariate:
        raise ValueError("multivariate=true and group=false are needed, as a candidate is proposed as a whole")
    return TPESampler(seed=seed, multivariate=True, **options)


def _no_sampler() -> None:
    """Stand for what is drawn without Optuna, and has no options."""
