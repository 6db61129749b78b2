"""Trials read back from their directories where the study that contained them is gone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cifar_exp.config.overrides import parse_overrides
from cifar_exp.errors import UserError
from cifar_exp.runs.directory import RunDir
from cifar_exp.runs.saved import saved_overrides
from cifar_exp.sweep.search.proposals import Proposer
from cifar_exp.sweep.search.space import Candidate, Space
from cifar_exp.sweep.study.study import SharedStudy
from cifar_exp.sweep.worker.outcome import belongs_to


def recover(study: SharedStudy, sweep_dir: Path, study_name: str, space: Space, proposer: Proposer) -> None:
    """Add the trials whose directories are in `sweep_dir` and which the study lacks, waiting, under their numbers.

    The worker that takes one finds its result or its checkpoint.

    Raises:
        UserError: one is not of this space; none is added then.
    """
    first = len(study.trials())
    numbers = [int(path.name) for path in sweep_dir.iterdir() if path.name.isdecimal() and int(path.name) >= first]
    places = {number: sweep_dir / str(number) for number in numbers}
    known = {
        number: _candidate(space, saved_overrides(RunDir(place).overrides), place)
        for number, place in places.items()
        if belongs_to(place, study_name, number)
    }
    for number in range(first, max(known, default=-1) + 1):
        trials = study.trials()
        proposal = proposer.known(known[number]) if number in known else proposer.propose(trials, number)
        if proposal is None:
            return
        study.add(proposal)


def _candidate(space: Space, overrides: Sequence[str], directory: Path) -> Candidate:
    saved = {one.get_key_element().lstrip("+"): one for one in parse_overrides(overrides)}
    candidate: dict[str, Any] = {}
    for key, swept in space.swept.items():
        text = saved[key].get_value_string() if key in saved else ""
        of_choice = {known: value for value, (known, _) in swept.choices.items()}
        is_known = key in saved and (not swept.choices or text in of_choice)
        value = (of_choice[text] if swept.choices else saved[key].value()) if is_known else None
        if not is_known or not swept.contains(value):
            raise UserError(
                f"{directory}: contains a trial that is not of this space ({key}={text}).\n"
                "Choose another hydra.sweep.dir, or the space that it was made with."
            )
        candidate[key] = value
    return candidate
