"""The same sweep on wandb's server: what its agent would run."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cifar_exp.config.location import conf_dir
from cifar_exp.config.overrides import parse_overrides
from cifar_exp.sweep.search.space import build_space
from scripts import wandb_trial

FILE = Path(__file__).parents[2] / "scripts" / "wandb_width50k.yaml"
SMALLEST, LARGEST = 0, -1


def values_of(parameter: dict[str, Any]) -> list[Any]:
    return parameter["values"] if "values" in parameter else list(range(parameter["min"], parameter["max"] + 1))


def command(place: int) -> list[str]:
    """The overrides of one run, as wandb's agent fills in `${args_no_hyphens}`."""
    file = yaml.safe_load(FILE.read_text())
    *given, last = file["command"]
    assert FILE.parents[1] / file["program"] == Path(wandb_trial.__file__)
    assert given[:3] == ["${env}", "python", "${program}"]
    assert last == "${args_no_hyphens}"
    return [*given[3:], *(f"{key}={values_of(one)[place]}" for key, one in file["parameters"].items())]


class Recorded:
    """What stands for wandb's run."""

    def __init__(self) -> None:
        self.logged: list[dict[str, Any]] = []
        self.summary: dict[str, Any] = {}
        self.log = self.logged.append

    def __enter__(self) -> "Recorded":
        return self

    def __exit__(self, *error: object) -> None:
        pass


@pytest.fixture
def wandb_run(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorded]:
    recorded = Recorded()
    monkeypatch.setattr("wandb.init", lambda **_: recorded)
    return recorded


def test_its_space_is_that_of_the_shipped_sweep() -> None:
    sweep = yaml.safe_load((conf_dir() / "sweep" / "width50k.yaml").read_text())
    space = build_space(parse_overrides([f"{key}={one}" for key, one in sweep["hydra"]["sweeper"]["params"].items()]))
    swept = {key: [one.override(value) for value in one.values] for key, one in space.swept.items()}
    parameters = yaml.safe_load(FILE.read_text())["parameters"]
    assert {key: [f"{key}={value}" for value in values_of(one)] for key, one in parameters.items()} == swept
    assert {*space.overrides({}), f"model={sweep['model']}", f"budget.params={sweep['budget']['params']}"} < {
        *command(SMALLEST)
    }


def test_its_candidates_are_configs_that_hydra_accepts() -> None:
    small, large = wandb_trial.priced(command(SMALLEST)), wandb_trial.priced(command(LARGEST))
    assert small is not None
    assert large is not None
    assert small[0].price({}).fits
    assert not large[0].price({}).fits
    assert large[0].price({}).excess < float("inf")  # too large, rather than of shapes that do not fit


def test_a_candidate_over_budget_is_reported_and_not_trained(
    monkeypatch: pytest.MonkeyPatch, wandb_run: Recorded
) -> None:
    monkeypatch.setattr("sys.argv", ["wandb_trial", *command(LARGEST)])
    monkeypatch.setattr(wandb_trial, "run", lambda arguments: pytest.fail("trained"))
    assert wandb_trial.main() == 0
    assert wandb_run.logged == [{"best/val/acc": 0.0}]
    assert wandb_run.summary["params"] > 50_000
    assert "budget.params=50,000" in wandb_run.summary["rejected"]


@pytest.mark.parametrize("more", [[], ["model=model51k"], ["optimizer.lr=fast"]])
def test_one_within_the_budget_is_trained_and_an_error_reported_by_the_same_command(
    monkeypatch: pytest.MonkeyPatch, more: list[str]
) -> None:
    ran: list[list[str]] = []
    monkeypatch.setattr("sys.argv", ["wandb_trial", *command(SMALLEST), *more])
    monkeypatch.setattr(wandb_trial, "run", lambda arguments: ran.append(arguments) or 0)
    assert wandb_trial.main() == 0
    assert ran == [["train", *command(SMALLEST), *more]]
