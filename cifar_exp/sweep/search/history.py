"""What a sampler learns from: the trials that have ended, in a study in memory, at most as many as it can digest."""

from collections.abc import Mapping, Sequence
from math import log1p
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from cifar_exp.sweep.search.pricing import Pricer
from cifar_exp.sweep.search.samplers import DEFAULT_HISTORY, HISTORY
from cifar_exp.sweep.settings import SweepSettings

SLACK = 1.25  # the study is made again when it holds so many times what the sampler can digest
LEARNED = (TrialState.COMPLETE, TrialState.PRUNED)
_SAMPLERS_OWN = ("tpe:", "gp:", "constraints")  # notes of a sampler that are of no use later


class History:
    """The searched keys of the trials that have ended, in the order of their numbers."""

    def __init__(self, searched: Mapping[str, BaseDistribution], settings: SweepSettings, pricer: Pricer) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._searched = dict(searched)
        self._settings = settings
        self._pricer = pricer
        name = str(settings.sampler.get("name", "tpe"))
        self._limit = HISTORY.get(name, DEFAULT_HISTORY)
        self._constrained = name == "gp"  # it models the budget too, so that its optimum is within
        self._known: set[int] = set()  # places in the list of all trials
        self._size = 0  # trials that the study in memory holds
        self._study = self._new_study()

    def ask(self, trials: Sequence[FrozenTrial], sampler: optuna.samplers.BaseSampler) -> tuple[Any, dict[str, Any]]:
        """Return the candidate that `sampler` proposes after `trials`, and its notes for the trial."""
        self._update({place: trial for place, trial in enumerate(trials) if trial.state in LEARNED})
        study = self._study
        study.sampler = sampler
        asked = study.ask(self._searched)
        attrs = study.get_trials(deepcopy=False)[asked.number].system_attrs
        study.tell(asked, state=TrialState.FAIL)
        return dict(asked.params), {key: note for key, note in attrs.items() if not key.startswith(_SAMPLERS_OWN)}

    def _new_study(self) -> optuna.Study:
        return optuna.create_study(directions=self._settings.directions)

    def _update(self, ended: Mapping[int, FrozenTrial]) -> None:
        new = [place for place in ended if place not in self._known]
        if self._size + len(new) > self._limit * SLACK:
            self._study, self._size = self._new_study(), 0
            new = self._most_useful(ended)
        self._known.update(ended)
        self._size += len(new)
        for place in new:
            self._add(ended[place])

    def _most_useful(self, ended: Mapping[int, FrozenTrial]) -> list[int]:
        """Return the best third of the limit, and the latest."""
        complete = [place for place, trial in ended.items() if trial.state == TrialState.COMPLETE]
        sign = -1 if self._settings.directions[0] == "maximize" else 1
        complete.sort(key=lambda place: sign * ended[place].values[0])
        best = complete[: self._limit // 3]
        latest = [place for place in reversed(list(ended)) if place not in set(best)]
        return sorted([*best, *latest[: self._limit - len(best)]])

    def _add(self, trial: FrozenTrial) -> None:
        if not self._searched.keys() <= trial.params.keys():
            return
        try:
            self._study.add_trial(
                optuna.create_trial(
                    state=trial.state,
                    values=trial.values,
                    params={key: trial.params[key] for key in self._searched},
                    distributions=self._searched,
                    system_attrs=trial.system_attrs,
                    intermediate_values=trial.intermediate_values,
                    constraints=self._constraints(trial),
                )
            )
        except ValueError:  # of a range that has been narrowed since
            return

    def _constraints(self, trial: FrozenTrial) -> dict[str, float] | None:
        """Return how far the trial is below the budget, as a logarithm, in which products of widths are sums."""
        if not self._constrained:
            return None
        excess = self._pricer.price(trial.params).excess
        return {"budget": log1p(excess)} if -1 < excess < float("inf") else None
