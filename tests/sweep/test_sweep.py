"""One worker's sweep: what is searched, and the directories of its trials."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from cifar_exp.network.planner import plan_network
from cifar_exp.network.spec import ModelSpec
from tests.sweep.conftest import sweep_arguments, table

Pretend = Callable[..., int]


def test_a_sweep_expression_joins_the_space_or_replaces_an_entry(pretend: Pretend, tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    more = ("optimizer.lr=interval(1e-3,1e-2)", "model.layers.conv7.channels=choice(40,48)", "seed=7")
    assert pretend(*sweep_arguments(sweep, 5, *more)) == 0
    rows = table(sweep)
    assert all(1e-3 <= float(row["optimizer.lr"]) <= 1e-2 for row in rows)
    assert {row["model.layers.conv7.channels"] for row in rows} <= {"40", "48"}
    config = yaml.safe_load((sweep / "0" / ".hydra" / "config.yaml").read_text())
    assert config["seed"] == 7
    assert config["optimizer"]["lr"] == pytest.approx(float(rows[0]["optimizer.lr"]))


def test_a_plain_override_takes_a_key_out_of_the_space(pretend: Pretend, tmp_path: Path) -> None:
    assert pretend(*sweep_arguments(tmp_path / "sweep", 2, "model.layers.conv7.channels=24")) == 0
    assert "model.layers.conv7.channels" not in table(tmp_path / "sweep")[0]
    config = yaml.safe_load((tmp_path / "sweep" / "1" / ".hydra" / "config.yaml").read_text())
    assert config["model"]["layers"]["conv7"]["channels"] == 24


def test_a_choice_of_models_is_searched_too(pretend: Pretend, tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    arguments = ["train", "-m", "hydra/sweeper=budgeted", f"hydra.sweep.dir={sweep}", "hydra.sweeper.n_trials=3"]
    more = ["hydra/sweeper/sampler=grid", "data=synthetic", "budget.params=110000"]
    assert pretend(*arguments, *more, "model=model1,model2,model50k,resnet8,resnet20") == 0
    assert [(row["model"], row["params"]) for row in table(sweep)] == [
        ("model2", "104106"),
        ("model50k", "49803"),
        ("resnet8", "78666"),
    ]


def test_fill_takes_up_what_the_budget_leaves(pretend: Pretend, tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    fill = ("hydra.sweeper.fill=model.layers.conv7.channels", "model.layers.conv7.channels=range(16,400)")
    assert pretend(*sweep_arguments(sweep, 4, *fill)) == 0
    for row in table(sweep):
        model = yaml.safe_load((sweep / row["number"] / ".hydra" / "config.yaml").read_text())["model"]
        model["layers"]["conv7"]["channels"] += 1
        assert int(row["params"]) <= 50_000
        assert plan_network(ModelSpec.model_validate(model), (3, 32, 32), 10).params > 50_000


def test_a_grid_counts_each_combination_once(
    pretend: Pretend, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    grid = (
        "hydra/sweeper/sampler=grid",
        "model.layers.conv1.channels=choice(16,32)",
        "model.layers.conv7.channels=choice(16,4096,64)",
    )
    assert pretend(*sweep_arguments(tmp_path / "sweep", 4, *grid)) == 0
    assert "67% of 6 candidates within the budget" in capfd.readouterr().err.splitlines()[-1]


def test_a_directory_may_have_any_name(pretend: Pretend, tmp_path: Path) -> None:
    sweep = tmp_path / "a?b%41#c"
    assert pretend(*sweep_arguments(f"'{sweep}'", 1)) == 0
    assert (sweep / "study.db").is_file()


def test_a_whole_layer_is_swept_with_fields_that_its_entry_does_not_have(pretend: Pretend, tmp_path: Path) -> None:
    sweep, layers = tmp_path / "sweep", "model.layers.conv5=choice({channels:16,kernel_size:5},{channels:32})"
    more = ("model.layers.conv1.channels=16", "model.layers.conv7.channels=16", "hydra/sweeper/sampler=grid")
    assert pretend(*sweep_arguments(sweep, 2, layers, *more)) == 0
    configs = [yaml.safe_load((sweep / row["number"] / ".hydra" / "config.yaml").read_text()) for row in table(sweep)]
    layers_of_trials = [config["model"]["layers"]["conv5"] for config in configs]
    assert [(one["channels"], one.get("kernel_size", 3)) for one in layers_of_trials] == [(16, 5), (32, 3)]


def test_a_subdirectory_that_two_trials_would_share_gets_their_number(pretend: Pretend, tmp_path: Path) -> None:
    sweep, subdir = tmp_path / "sweep", "hydra.sweep.subdir='w${model.layers.conv1.channels}'"
    assert pretend(*sweep_arguments(sweep, 3, subdir, "model.layers.conv1.channels=choice(16)")) == 0
    assert sorted(path.name for path in sweep.glob("w*")) == ["w16", "w16-1", "w16-2"]
    assert {row["state"] for row in table(sweep)} == {"complete"}


def test_a_subdirectory_named_by_the_overrides_has_those_of_the_user_alone(pretend: Pretend, tmp_path: Path) -> None:
    sweep, subdir = tmp_path / "sweep", "hydra.sweep.subdir=${hydra.job.override_dirname}"
    exclude = "hydra.job.config.override_dirname.exclude_keys=[data,model,budget.params]"
    assert pretend(*sweep_arguments(sweep, 1, subdir, exclude)) == 0
    row = table(sweep)[0]
    assert (sweep / ",".join(f"{key}={row[key]}" for key in row if key.startswith("model.")) / "result.json").is_file()
