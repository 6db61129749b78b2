"""The same sweep on wandb's server: what its agent would run."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cifar_exp.sweep.output import wandb_trial

FILE = Path(__file__).parents[2] / "scripts" / "wandb_width50k.yaml"


def command(choose: Callable[[list[int]], int]) -> list[str]:
    """The overrides of one run, as wandb's agent fills in `${args_no_hyphens}`."""
    file = yaml.safe_load(FILE.read_text())
    *given, last = file["command"]
    assert given[:4] == ["${env}", "python", "-m", wandb_trial.__name__]
    assert last == "${args_no_hyphens}"
    values = {key: choose(one["values"]) if "values" in one else one["min"] for key, one in file["parameters"].items()}
    return [*given[4:], *(f"{key}={value}" for key, value in values.items())]


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


def test_its_candidates_are_configs_that_hydra_accepts() -> None:
    small, large = wandb_trial.priced(command(min)), wandb_trial.priced(command(max))
    assert small is not None
    assert large is not None
    assert small[0].price({}).fits
    assert not large[0].price({}).fits
    assert large[0].price({}).excess < float("inf")  # too large, rather than of shapes that do not fit


def test_a_candidate_over_budget_is_answered_and_not_trained(
    monkeypatch: pytest.MonkeyPatch, wandb_run: Recorded
) -> None:
    monkeypatch.setattr("sys.argv", ["wandb_trial", *command(max)])
    monkeypatch.setattr(wandb_trial, "run", lambda arguments: pytest.fail("trained"))
    assert wandb_trial.main() == 0
    assert wandb_run.logged == [{"best/val/acc": 0.0}]
    assert wandb_run.summary["params"] > 50_000
    assert "budget.params=50,000" in wandb_run.summary["rejected"]


@pytest.mark.parametrize("more", [[], ["model=model51k"], ["optimizer.lr=fast"]])
def test_one_that_fits_is_trained_and_a_mistake_told_by_the_same_command(
    monkeypatch: pytest.MonkeyPatch, more: list[str]
) -> None:
    ran: list[list[str]] = []
    monkeypatch.setattr("sys.argv", ["wandb_trial", *command(min), *more])
    monkeypatch.setattr(wandb_trial, "run", lambda arguments: ran.append(arguments) or 0)
    assert wandb_trial.main() == 0
    assert ran == [["train", *command(min), *more]]
