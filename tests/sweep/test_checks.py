"""What is checked of a space before its first trial."""

import time
from pathlib import Path

import pytest
import yaml

from cifar_exp.config.location import conf_dir
from cifar_exp.errors import UserError
from tests.sweep.proposing import BASE, WIDTHS, Make, proposed, settings


def test_an_error_in_the_config_is_not_one_of_the_candidates(make: Make) -> None:
    choices = [f"++model.layers.conv{number}.channels=choice(16,32,64,128)" for number in range(1, 8)]
    proposer, _, _ = make(*BASE, *choices, "data=folder", "data.root=/nowhere", "budget.params=50000")
    began = time.process_time()
    with pytest.raises(UserError, match=r"^data\.root: there is no directory"):
        proposer.check()
    assert time.process_time() - began < 10


def test_a_choice_is_invalid_only_if_no_other_choice_makes_it_valid(make: Make) -> None:
    """Nesterov's momentum needs a momentum: three of four combinations are valid, whichever is priced first."""
    both = ("optimizer=sgd", "optimizer.nesterov=choice(true,false)", "optimizer.momentum=choice(0.0,0.9)")
    for given in (both, (both[0], both[2], both[1])):
        proposer, _, space = make(*BASE, *given, "budget.params=60000")
        proposer.check()
        trials = proposed(proposer, space, 3, lambda _: (0.5,))
        assert not [t for t in trials if t.params["optimizer.nesterov"] and t.params["optimizer.momentum"] == 0]
        assert proposer.propose(trials, 3) is None


def test_widths_that_depend_on_each_other_are_valid(make: Make) -> None:
    """Of model50k's skips: the widths that conv2, conv4 and conv6 may have are the multiples of one other width."""
    widths = [f"model.layers.conv{number}.channels=range(16,97,step=8)" for number in range(1, 7)]
    proposer, pricer, _ = make("model=model50k", "data=synthetic", *widths, "budget.params=50000")
    assert pricer.price(proposer.check()).fits


def test_where_nothing_fits_the_nearest_is_named_within_seconds(make: Make) -> None:
    proposer, _, _ = make(*BASE, *WIDTHS, "budget.params=5000")
    began = time.monotonic()
    with pytest.raises(UserError, match=r"is within the budget; the nearest:\n[\d,]+ params, budget.params=5,000"):
        proposer.check()
    assert time.monotonic() - began < 8


def test_shapes_that_never_fit_are_reported_with_their_reason(make: Make) -> None:
    proposer, _, _ = make("model=model50k", "data=synthetic", "++model.layers.conv1.channels=choice(48,40)")
    with pytest.raises(UserError, match="the skip from 'conv1'"):
        proposer.check()


SWEEPS = sorted((conf_dir() / "sweep").glob("*.yaml"))


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_each_shipped_sweep_has_candidates_that_fit(path: Path, make: Make) -> None:
    file = yaml.safe_load(path.read_text())
    given = file["hydra"]["sweeper"]
    overrides = [f"++{key}={value}" for key, value in given["params"].items()]
    budget = [f"budget.{name}={limit}" for name, limit in file["budget"].items()]
    more = {key: given[key] for key in ("direction", "objectives", "fill") if key in given}
    proposer, pricer, space = make(f"model={file['model']}", "data=synthetic", *budget, *overrides, **more)
    assert pricer.price(proposer.check()).fits
    for trial in proposed(proposer, space, 5, lambda _: tuple(0.5 for _ in settings(**more).directions)):
        costs = pricer.costs(trial.params)
        assert all(costs[name] <= limit for name, limit in file["budget"].items())
