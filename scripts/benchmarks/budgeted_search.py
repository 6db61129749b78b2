"""How to search under a budget: what fits at random, TPE taught by soft constraints, or TPE among what fits.

python scripts/benchmarks/budgeted_search.py         (two minutes on one core)

A formula takes the place of the training: seven widths of model50k, projections of 1×1 convolutions, at most 50,000
parameters; every width helps, with diminishing returns and some noise. Larger is better.
"""

import warnings
from math import log
from random import Random
from statistics import mean, stdev

import optuna
from hydra import compose, initialize_config_dir
from optuna.trial import FrozenTrial, TrialState

from cifar_exp.config.location import conf_dir
from cifar_exp.config.overrides import parse_overrides
from cifar_exp.sweep.search.pricing import PlanPricer
from cifar_exp.sweep.search.proposals import Proposer
from cifar_exp.sweep.search.space import Candidate, Space, build_space
from cifar_exp.sweep.settings import parse_settings

TRIALS, SEEDS, BUDGET = 40, 16, 50_000
WORTH = (1.0, 0.5, 0.8, 0.3, 0.6, 0.2, 0.9)  # of each width
OVERRIDES = ["model=model50k", "data=synthetic", "++model.layer.projection=conv1x1", f"budget.params={BUDGET}"]
WIDTHS = [f"++model.layers.conv{number}.channels=range(16,129,step=8)" for number in range(1, 8)]


def score(candidate: Candidate) -> float:
    """Return a stand-in for the accuracy of the widths."""
    widths = list(candidate.values())
    balance = 0.3 * abs(log(widths[1] / widths[4])) + 0.2 * log(widths[6] / 90) ** 2
    return sum(worth * log(width) for worth, width in zip(WORTH, widths, strict=True)) - balance


def among_what_fits(sampler: str, space: Space, pricer: PlanPricer, seed: int) -> float:
    """Return the best of our own proposals."""
    settings = parse_settings(
        {"n_trials": TRIALS, "study_name": "s", "sampler": {"name": sampler}, "pruner": {"name": "none"}}
    )
    proposer, random = Proposer(space, pricer, settings), Random(seed)
    trials: list[FrozenTrial] = []
    for number in range(TRIALS):
        proposal = proposer.propose(trials, 1000 * seed + number)
        assert proposal is not None
        value = score(proposal.candidate) + random.gauss(0, 0.05)
        trials.append(optuna.create_trial(value=value, params=proposal.candidate, distributions=space.distributions))
    return max(score(trial.params) for trial in trials)


def taught_by_constraints(space: Space, pricer: PlanPricer, seed: int) -> float:
    """Return the best of Optuna's TPE, to which each candidate over the budget is reported as infeasible."""
    random = Random(seed)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    fitting: list[Candidate] = []
    while len(fitting) < TRIALS:
        trial = study.ask(space.distributions)
        price = pricer.price(trial.params)
        trial.set_constraint("params", price.excess)
        if price.fits:
            fitting.append(trial.params)
            study.tell(trial, score(trial.params) + random.gauss(0, 0.05))
        else:
            study.tell(trial, state=TrialState.PRUNED)
    return max(map(score, fitting))


def main() -> None:
    """Print one line per method: mean and standard deviation of the best of 40 trials over 16 seeds."""
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        space = build_space(parse_overrides([*OVERRIDES, *WIDTHS]))
        pricer = PlanPricer(space, lambda overrides: compose("train", overrides=overrides), ("model", "data"))
        methods = {
            "random among what fits": lambda seed: among_what_fits("random", space, pricer, seed),
            "TPE taught by constraints": lambda seed: taught_by_constraints(space, pricer, seed),
            "TPE among what fits": lambda seed: among_what_fits("tpe", space, pricer, seed),
        }
        for name, method in methods.items():
            bests = [method(seed) for seed in range(SEEDS)]
            print(f"{name:<26} {mean(bests):.2f} ± {stdev(bests):.2f}")


if __name__ == "__main__":
    main()
