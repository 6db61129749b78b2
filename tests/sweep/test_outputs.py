"""What a sweep leaves and shows: its files, the winner, the table on a terminal."""

import io
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from rich.console import Console

import cifar_exp
from cifar_exp.config.location import conf_dir
from cifar_exp.network.cost import cost_line, costs_of
from cifar_exp.network.planner import plan_network
from cifar_exp.network.spec import ModelSpec
from cifar_exp.sweep.output.display import Display
from cifar_exp.sweep.settings import parse_settings
from tests.sweep.conftest import run_pretended, study_in, sweep_arguments, table

Pretend = Callable[..., int]


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of five trials, the second of which failed."""
    directory = tmp_path_factory.mktemp("swept")
    arguments = sweep_arguments(directory / "sweep", 5)
    assert run_pretended(directory, *arguments, misfortunes={1: "raises"}, draws=True) == 0
    return directory / "sweep"


def test_a_sweep_ends_with_n_trials_and_leaves_its_files(sweep: Path) -> None:
    rows = table(sweep)
    assert [int(row["number"]) for row in rows] == list(range(5))
    assert list(rows[0]) == [
        "number",
        "state",
        "val/acc",
        "params",
        "macs",
        "peak_activation_bytes",
        "seconds",
        "model.layers.conv1.channels",
        "model.layers.conv7.channels",
    ]
    assert [row["state"] for row in rows] == ["complete", "failed", *["complete"] * 3]
    assert all(int(row["params"]) <= 50_000 for row in rows)
    assert all((sweep / str(number) / "result.json").is_file() for number in range(5))
    assert all((sweep / name).is_file() for name in ("study.db", "optimization_results.yaml", "sweep.png"))
    results = yaml.safe_load((sweep / "optimization_results.yaml").read_text())
    assert results["best_value"] == max(float(row["val/acc"]) for row in rows if row["state"] == "complete")


def test_the_table_has_the_cost_of_what_each_trial_trained(sweep: Path) -> None:
    for row in table(sweep):
        config = yaml.safe_load((sweep / row["number"] / ".hydra" / "config.yaml").read_text())
        planned = plan_network(ModelSpec.model_validate(config["model"]), (3, 32, 32), 10)
        assert (int(row["params"]), int(row["macs"])) == (planned.params, planned.macs)
        assert int(row["peak_activation_bytes"]) == planned.peak_activation_bytes
        assert int(row["model.layers.conv7.channels"]) == config["model"]["layers"]["conv7"]["channels"]


def test_the_study_knows_cost_model_and_search_of_each_trial(sweep: Path) -> None:
    for trial in study_in(sweep).trials:
        assert trial.user_attrs["priced"] >= trial.user_attrs["within_budget"] >= 1
        assert trial.user_attrs["model"]["layers"]["conv7"]["channels"] == trial.params["model.layers.conv7.channels"]
        assert trial.value is None or math.isclose(trial.value, trial.user_attrs["val/acc"])


def test_on_a_terminal_the_trials_are_a_live_table(sweep: Path) -> None:
    settings = parse_settings({"n_trials": 9, "study_name": "sweep", "sampler": {}, "pruner": {}})
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(Display(settings, lambda: study_in(sweep).trials)._table())
    shown = console.export_text()
    assert "5 of 9 trials ended" in shown
    assert all(len(line) <= 80 for line in shown.splitlines())
    for row in table(sweep):
        assert f"{int(row['params']):,}" in shown
    assert "ValueError:" in shown


def test_the_winner_is_a_model_file_like_the_shipped_ones(sweep: Path, pretend: Pretend) -> None:
    best = max((row for row in table(sweep) if row["val/acc"]), key=lambda row: float(row["val/acc"]))
    text = (sweep / "best" / "model" / "best.yaml").read_text()
    planned = plan_network(ModelSpec.model_validate(yaml.safe_load(text)), (3, 32, 32), 10)
    first, second, *body = text.splitlines()
    assert first == f"# Trial {best['number']} of the sweep sweep: val/acc {float(best['val/acc']):g}."
    assert second == f"# {cost_line(costs_of(planned))}."
    assert planned.params == int(best["params"])
    shipped = (conf_dir() / "model" / "model50k.yaml").read_text().splitlines()[3:]
    assert [line for line in body[1:] if line not in shipped] == [
        line for line in body if line.strip().startswith(("conv1:", "conv7:")) and line not in shipped
    ]
    assert pretend("summary", "--config-dir", str(sweep / "best"), "model=best", "data=synthetic") == 0


def test_progress_is_one_line_per_trial_where_there_is_no_terminal(
    pretend: Pretend, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pretend(*sweep_arguments(tmp_path / "sweep", 3, "budget.params=45000"), misfortunes={1: "raises"})
    told = capfd.readouterr()
    assert told.out == ""
    assert len(told.err.splitlines()) == 4, told.err
    first, second, third, last = told.err.splitlines()
    rows = table(tmp_path / "sweep")
    assert f"{int(rows[0]['params']):,} params" in first
    assert f"val/acc {float(rows[0]['val/acc']):.4f}" in first
    assert "1 of 3 trials ended" in first
    assert "candidates within the budget" in first
    assert "left" in first
    assert "failed" in second
    assert "ValueError: no such luck" in second
    assert "complete" in third
    assert last.startswith("sweep: 3 of 3 trials ended, best val/acc")


def test_the_winner_keeps_what_was_swept_and_its_recipe_but_not_what_made_its_trial_short(
    pretend: Pretend, tmp_path: Path
) -> None:
    own = tmp_path / "own"
    for name, text in {
        "optimizer/mine": "name: sgd\nlr: 0.05\nmomentum: 0.8\n",
        "experiment/mine": "# @package _global_\ndefaults: [override /optimizer: mine]\nloss: {label_smoothing: 0.1}\n",
    }.items():
        (own / name).parent.mkdir(parents=True)
        (own / f"{name}.yaml").write_text(text)
    swept = ("experiment=choice(mine)", "optimizer.lr=choice(0.0123)", "data.batch_size=choice(33)", "scheduler=cosine")
    more = ("seed='${data.batch_size}'", "trainer.max_epochs=1", "--config-dir", str(own))
    assert pretend(*sweep_arguments(tmp_path / "sweep", 1, *swept, *more)) == 0
    shutil.rmtree(own)
    config = cifar_exp.compose(["model=best", "data=cifar10"], config_dir=str(tmp_path / "sweep" / "best"))
    optimizer = config.optimizer
    assert (optimizer.name, optimizer.lr, optimizer.model_dump()["momentum"]) == ("sgd", 0.0123, 0.8)
    assert (config.data.name, config.data.batch_size, config.seed) == ("cifar10", 33, 33)
    assert (config.scheduler.name, config.loss.label_smoothing, config.trainer.max_epochs) == ("cosine", 0.1, 50)


def test_the_winner_of_a_swept_experiment_keeps_its_settings(pretend: Pretend, tmp_path: Path) -> None:
    swept = ("experiment=choice(width50k)", "model.layer.dropout=choice(0.3)")
    assert pretend(*sweep_arguments(tmp_path / "sweep", 1, *swept)) == 0
    config = cifar_exp.compose(["model=best"], config_dir=str(tmp_path / "sweep" / "best"))
    row = table(tmp_path / "sweep")[0]
    assert (config.optimizer.name, config.model.layer.dropout) == ("muon", 0.3)
    assert cifar_exp.plan(config).params == int(row["params"])


@pytest.mark.parametrize("cost", ["macs", "flash_bytes"], ids=["of the result", "of the plan alone"])
def test_two_objectives_leave_a_front(pretend: Pretend, tmp_path: Path, cost: str) -> None:
    sweep = tmp_path / "sweep"
    more = ("hydra.sweeper.direction=[maximize,minimize]", f"hydra.sweeper.objectives=[val/acc,{cost}]")
    early = "hydra.sweeper.sampler.n_startup_trials=3"
    assert pretend(*sweep_arguments(sweep, 6, *more, early), draws=True) == 0
    assert (sweep / "sweep.png").is_file()
    assert all(row[cost] for row in table(sweep))
    solutions = yaml.safe_load((sweep / "optimization_results.yaml").read_text())["solutions"]
    values = [(one["values"]["val/acc"], one["values"][cost]) for one in solutions]
    assert values == sorted(values, reverse=True)
    for acc, least in values:
        assert not any(a >= acc and m <= least and (a, m) != (acc, least) for a, m in values)
    assert f"# Trial {solutions[0]['number']} " in (sweep / "best" / "model" / "best.yaml").read_text()
