"""The search methods that are compared, each as an Optuna study that proposes only what may be trained.

- `ours`: TPE among the candidates within the budget, the last width as large as fits, median rule (the shipped sweep).
- `ours, halving`: the same with `hydra/sweeper/pruner=successive_halving`.
- `optuna`: TPE with soft constraints and the median rule, as Optuna's documentation has it; a candidate over the budget
  is reported as infeasible at once and costs no training.
- `asha`: uniform candidates, rejected while over the budget, with asynchronous successive halving (Li et al. 2020,
  arXiv:1810.05934) at Ray Tune's defaults; Optuna's implementation of it.
- `random`: uniform candidates within the budget, each trained in full.
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

METHODS = ("ours", "ours, halving", "optuna", "random", "asha")
SHIPPED_PRUNERS = {"ours": "median", "ours, halving": "successive_halving"}


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
    """One search: propose candidates, receive their curves, end poor ones."""

    def __init__(self, name: str, search: SearchSpace, seed: int) -> None:
        if name not in METHODS:
            raise ValueError(f"unknown method {name!r}, expected one of {METHODS}")
        self.name, self._search, self._seed = name, search, seed
        self.rejected = 0  # candidates over the budget, reported to the method
        sampler = optuna.samplers.TPESampler(seed=seed) if name == "optuna" else optuna.samplers.RandomSampler(seed)
        self.study = optuna.create_study(direction="maximize", sampler=sampler, pruner=_pruner(name))
        self._proposer: Proposer | None = None
        if name != "optuna":
            is_ours = name.startswith("ours")
            settings = _settings("tpe" if is_ours else "random", search.fill if is_ours else None)
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
    """Return the pruner of a method; those of `ours` as the sweep ships them."""
    if name in SHIPPED_PRUNERS:
        file = conf_dir() / "hydra" / "sweeper" / "pruner" / f"{SHIPPED_PRUNERS[name]}.yaml"
        pruner: optuna.pruners.BasePruner = build_pruner(yaml.safe_load(file.read_text(encoding="utf-8")))
        return pruner
    if name == "optuna":
        return optuna.pruners.MedianPruner()
    if name == "asha":
        return optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=4)
    return optuna.pruners.NopPruner()


def _settings(sampler: str, fill: str | None) -> Any:
    return parse_settings(
        {
            "n_trials": 1000,
            "study_name": "comparison",
            "sampler": {"name": sampler},
            "pruner": {"name": "none"},
            **({"fill": fill} if fill else {}),
        }
    )
