"""Trials read back from their directories, where the study that knew of them is gone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from cifar_exp.config.overrides import parse_overrides
from cifar_exp.errors import UserError
from cifar_exp.sweep.outcome import belongs_to
from cifar_exp.sweep.pricing import Pricer
from cifar_exp.sweep.proposals import Proposal, Proposer
from cifar_exp.sweep.space import Candidate, Space, Swept
from cifar_exp.sweep.study import SharedStudy


def saved_overrides(directory: Path) -> list[str]:
    """The overrides of the run in `directory`, as Hydra kept them."""
    file = directory / ".hydra" / "overrides.yaml"
    return [str(override) for override in OmegaConf.load(file)] if file.is_file() else []


def recover(
    study: SharedStudy, sweep_dir: Path, study_name: str, space: Space, proposer: Proposer, pricer: Pricer
) -> None:
    """Lets the trials that `sweep_dir` holds wait in an empty study, under their numbers.

    Whoever takes one finds its result, or its checkpoint. Raises UserError for one that is not of this space.
    """
    numbers = [int(path.name) for path in sweep_dir.iterdir() if path.name.isdecimal()]
    known = [number for number in numbers if belongs_to(sweep_dir / str(number), study_name, number)]
    for number in range(max(known, default=-1) + 1):
        if number in known:
            candidate = _candidate(space, saved_overrides(sweep_dir / str(number)), sweep_dir / str(number))
            proposal: Proposal | None = Proposal(candidate, pricer.price(candidate), 1, 1, {})
        else:
            proposal = proposer.propose(study.trials(), number)
        if proposal is None:
            return
        study.add(proposal, pricer.model(proposal.candidate))


def _candidate(space: Space, overrides: Sequence[str], directory: Path) -> Candidate:
    saved = {one.get_key_element().lstrip("+"): one for one in parse_overrides(overrides)}
    candidate: dict[str, Any] = {}
    for key, swept in space.swept.items():
        text = saved[key].get_value_string() if key in saved else ""
        of_choice = {known: value for value, (known, _) in swept.choices.items()}
        value = of_choice.get(text) if swept.choices else saved[key].value() if key in saved else None
        if value is None or not _may_be(value, swept):
            raise UserError(
                f"{directory}: holds a trial that is not of this space ({key}={text}).\n"
                "Choose another hydra.sweep.dir, or the space that it was made with."
            )
        candidate[key] = value
    return candidate


def _may_be(value: Any, swept: Swept) -> bool:
    try:
        return bool(swept.distribution._contains(swept.distribution.to_internal_repr(value)))
    except ValueError:
        return False
