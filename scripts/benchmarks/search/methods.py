"""The search methods that are compared; those on Optuna propose only what may be trained.

- `ours`: the search of `sweep=width50k` (TPE among the candidates within the budget, the last width as large as fits)
  with `hydra.sweeper.prefer=macs hydra/sweeper/pruner=successive_halving`.
- `ours, any MACs`: the same without the preference for MACs.
- `ours, median`: the same as the last with `hydra/sweeper/pruner=median`.
- `optuna`: TPE with soft constraints and the median rule, as Optuna's documentation has it; a candidate over the budget
  is reported as infeasible at once and costs no training.
- `random`: uniform candidates within the budget, each trained in full.
- `Ray Tune`: uniform candidates, drawn again while over the budget, with asynchronous successive halving (Li et al.
  2020, arXiv:1810.05934) at its defaults; see with_ray_tune.py.
- `KerasTuner`: Bayesian optimization, candidates over the budget rejected as too large; see with_keras_tuner.py.
"""

from dataclasses import dataclass, field
from typing import Any

import optuna
import yaml
from hydra import compose, initialize_config_dir
from optuna.trial import Trial, TrialState

from cifar_exp.config.location import conf_dir
from cifar_exp.config.overrides import parse_overrides
from cifar_exp.network import ModelSpec, Plan, plan_network
from cifar_exp.sweep.search.pricing import PlanPricer
from cifar_exp.sweep.search.proposals import Proposer
from cifar_exp.sweep.search.pruners import build_pruner
from cifar_exp.sweep.search.space import Candidate, Space, build_space
from cifar_exp.sweep.settings import parse_settings

OURS, ANY_MACS, MEDIAN, OPTUNA, RANDOM = "ours", "ours, any MACs", "ours, median", "optuna", "random"
RAY_TUNE, KERAS_TUNER = "Ray Tune", "KerasTuner"
METHODS = (OURS, ANY_MACS, MEDIAN, OPTUNA, RANDOM, RAY_TUNE, KERAS_TUNER)
IS_OURS = (OURS, ANY_MACS, MEDIAN)


@dataclass
class SearchSpace:
    """What is swept, under which budget, and which width is filled."""

    widths: dict[str, str]  # key → Hydra's sweep expression
    fixed: list[str] = field(default_factory=list)  # overrides of every candidate
    fill: str | None = None

    def __post_init__(self) -> None:
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            swept = [f"++{key}={expression}" for key, expression in self.widths.items()]
            self.space: Space = build_space(parse_overrides([*self.fixed, *swept]))
            self.pricer = PlanPricer(self.space, lambda given: compose("train", overrides=given), ("model", "data"))
            self.pricer.price(self._any())  # composes once, while Hydra knows where the configs are

    def _any(self) -> Candidate:
        return Proposer(self.space, self.pricer, _settings("random", None)).check()

    def plan(self, candidate: Candidate, input_shape: tuple[int, int, int], num_classes: int) -> Plan:
        """Return the network of a candidate for images of `input_shape` (channels, height, width)."""
        return plan_network(ModelSpec.model_validate(self.pricer.model(candidate)), input_shape, num_classes)


class Method:
    """One search on Optuna: propose candidates, receive their curves, end poor ones."""

    def __init__(self, name: str, search: SearchSpace, seed: int) -> None:
        self.name, self._search, self._seed = name, search, seed
        self.rejected = 0  # candidates over the budget, reported to the method
        sampler = optuna.samplers.TPESampler(seed=seed) if name == OPTUNA else optuna.samplers.RandomSampler(seed)
        self.study = optuna.create_study(direction="maximize", sampler=sampler, pruner=_pruner(name))
        self._proposer: Proposer | None = None
        if name != OPTUNA:
            is_ours = name in IS_OURS
            prefer = "macs" if name == OURS else None
            settings = _settings("tpe" if is_ours else "random", search.fill if is_ours else None, prefer)
            self._proposer = Proposer(search.space, search.pricer, settings)

    def propose(self) -> Trial | None:
        """Return a trial within the budget, not finished yet; None where all candidates have been tried."""
        distributions = self._search.space.distributions
        if self._proposer is not None:
            trials = self.study.get_trials(deepcopy=False)
            proposal = self._proposer.propose(trials, 1000 * self._seed + len(trials))
            if proposal is None:
                return None
            self.study.enqueue_trial(proposal.candidate)
            return self.study.ask(distributions)
        while True:
            trial = self.study.ask(distributions)
            price = self._search.pricer.price(trial.params)
            # No plan at all, a skip that cannot be adapted, counts as twice the budget
            over = price.excess if price.is_valid else 1.0
            trial.set_constraint("params", over if not price.fits else -1e-6)
            if price.fits:
                return trial
            self.rejected += 1
            self.study.tell(trial, state=TrialState.PRUNED)

    def is_over(self, trial: Trial, epoch: int, accuracy: float) -> bool:
        """Report an epoch's validation accuracy; True where the trial should end."""
        trial.report(accuracy, epoch + 1)  # epochs trained, as the sweep and Ray Tune count them
        return bool(trial.should_prune())  # may be one of NumPy

    def finish(self, trial: Trial, best_accuracy: float, is_pruned: bool) -> None:
        """Report how a trial ended."""
        if is_pruned:
            self.study.tell(trial, state=TrialState.PRUNED)
        else:
            self.study.tell(trial, best_accuracy)


def _pruner(name: str) -> optuna.pruners.BasePruner:
    """Return the pruner of a method on Optuna; ours as they are shipped."""
    if name in IS_OURS:
        pruner_name = "median" if name == MEDIAN else "successive_halving"
        file = conf_dir() / "hydra" / "sweeper" / "pruner" / f"{pruner_name}.yaml"
        pruner: optuna.pruners.BasePruner = build_pruner(yaml.safe_load(file.read_text(encoding="utf-8")))
        return pruner
    return optuna.pruners.MedianPruner() if name == OPTUNA else optuna.pruners.NopPruner()


def _settings(sampler: str, fill: str | None, prefer: str | None = None) -> Any:
    return parse_settings(
        {
            "n_trials": 1000,
            "study_name": "comparison",
            "sampler": {"name": sampler},
            "pruner": {"name": "none"},
            "fill": fill,
            "prefer": prefer,
        }
    )
