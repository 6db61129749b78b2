"""One worker's sweep, from the command line to its files."""

import importlib.util
import io
import json
import math
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

import cifar_exp
from cifar_exp.config.location import conf_dir
from cifar_exp.network.cost import cost_line, costs_of
from cifar_exp.network.planner import plan_network
from cifar_exp.network.spec import ModelSpec
from tests.sweep.conftest import numbers, starts, study_in, sweep_arguments, table

Pretend = Callable[..., int]


def test_a_sweep_ends_with_n_trials_and_leaves_its_files(pretend: Pretend, tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    assert pretend(*sweep_arguments(sweep, 6)) == 0
    rows = table(sweep)
    assert [int(row["number"]) for row in rows] == list(range(6))
    assert list(rows[0]) == [
        "number",
        "state",
        "val/acc",
        "params",
        "macs",
        "peak_activation_bytes",
        "seconds",
        "flash_bytes",
        "sram_bytes",
        "model.layers.conv1.channels",
        "model.layers.conv7.channels",
    ]
    assert {row["state"] for row in rows} == {"complete"}
    assert all(int(row["params"]) <= 50_000 for row in rows)
    assert all((sweep / str(number) / "result.json").is_file() for number in range(6))
    assert all((sweep / name).is_file() for name in ("study.db", "optimization_results.yaml", "sweep.png"))
    results = yaml.safe_load((sweep / "optimization_results.yaml").read_text())
    assert results["best_value"] == max(float(row["val/acc"]) for row in rows)


def test_progress_is_a_line_a_trial_where_there_is_no_terminal(
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


def test_on_a_terminal_the_trials_are_a_live_table(pretend: Pretend, tmp_path: Path) -> None:
    from rich.console import Console

    from cifar_exp.sweep.output.display import Display
    from cifar_exp.sweep.settings import parse_settings

    pretend(*sweep_arguments(tmp_path / "sweep", 3), misfortunes={1: "raises"})
    settings = parse_settings({"n_trials": 9, "study_name": "sweep", "sampler": {}, "pruner": {}})
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(Display(settings, lambda: study_in(tmp_path / "sweep").trials)._table())
    shown = console.export_text()
    assert "3 of 9 trials ended" in shown
    assert all(len(line) <= 80 for line in shown.splitlines())
    for row in table(tmp_path / "sweep"):
        assert f"{int(row['params']):,}" in shown
    assert "ValueError:" in shown


def test_the_table_tells_the_cost_of_what_each_trial_trained(pretend: Pretend, tmp_path: Path) -> None:
    pretend(*sweep_arguments(tmp_path / "sweep", 3))
    for row in table(tmp_path / "sweep"):
        config = yaml.safe_load((tmp_path / "sweep" / row["number"] / ".hydra" / "config.yaml").read_text())
        planned = plan_network(ModelSpec.model_validate(config["model"]), (3, 32, 32), 10)
        assert (int(row["params"]), int(row["macs"])) == (planned.params, planned.macs)
        assert int(row["peak_activation_bytes"]) == planned.peak_activation_bytes
        assert int(row["model.layers.conv7.channels"]) == config["model"]["layers"]["conv7"]["channels"]


def test_the_winner_is_a_model_file_like_the_shipped_ones(pretend: Pretend, tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    pretend(*sweep_arguments(sweep, 4))
    best = max(table(sweep), key=lambda row: float(row["val/acc"]))
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


def test_the_winner_keeps_everything_that_was_swept(pretend: Pretend, tmp_path: Path) -> None:
    more = ("optimizer=choice(sgd)", "optimizer.lr=choice(0.0123)", "data.batch_size=choice(33)")
    assert pretend(*sweep_arguments(tmp_path / "sweep", 1, *more)) == 0
    config_dir = str(tmp_path / "sweep" / "best")
    config = cifar_exp.compose(["model=best", "data=synthetic"], config_dir=config_dir)
    assert (config.optimizer.name, config.optimizer.lr, config.data.batch_size) == ("sgd", 0.0123, 33)


def test_a_second_call_goes_on_up_to_n_trials(pretend: Pretend, tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    pretend(*sweep_arguments(sweep, 2))
    assert pretend(*sweep_arguments(sweep, 5)) == 0
    assert numbers(sweep) == list(range(5))
    assert pretend(*sweep_arguments(sweep, 5)) == 0
    assert [trial for trial, *_ in starts(tmp_path / "starts.log")] == list(range(5))


def test_a_sweep_in_parts_proposes_what_a_whole_one_does(pretend: Pretend, tmp_path: Path) -> None:
    early = "hydra.sweeper.sampler.n_startup_trials=2"
    pretend(*sweep_arguments(tmp_path / "whole", 5, early))
    for n_trials in (1, 3, 5):
        pretend(*sweep_arguments(tmp_path / "parts", n_trials, early))
    columns = [key for key in table(tmp_path / "whole")[0] if key.startswith("model.")]
    whole, parts = ([[row[key] for key in columns] for row in table(tmp_path / d)] for d in ("whole", "parts"))
    assert whole == parts


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


def test_failed_trials_are_marked_with_their_reason_and_the_others_go_on(
    pretend: Pretend, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sweep = tmp_path / "sweep"
    assert pretend(*sweep_arguments(sweep, 5), misfortunes={0: "raises", 2: "nan", 3: "exits"}) == 0
    assert [row["state"] for row in table(sweep)] == ["failed", "complete", "failed", "failed", "complete"]
    failed = yaml.safe_load((sweep / "optimization_results.yaml").read_text())["failed"]
    assert failed == {
        0: "ValueError: no such luck",
        2: "val/acc is nan",
        3: "RuntimeError: the job ended with exit status 3",
    }
    assert json.loads((sweep / "0" / "result.json").read_text())["status"] == "failed"
    assert "no such luck" in capfd.readouterr().err


def test_when_every_trial_fails_the_message_says_why(
    pretend: Pretend, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert pretend(*sweep_arguments(tmp_path / "sweep", 2), misfortunes={0: "raises", 1: "raises"}) == 2
    assert capfd.readouterr().err.rstrip().endswith("All 2 trials failed; 2 of them with:\nValueError: no such luck")
    assert len(table(tmp_path / "sweep")) == 2


def test_a_space_in_which_nothing_fits_is_told_at_once(
    pretend: Pretend, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()
    assert pretend(*sweep_arguments(tmp_path / "sweep", 2, "budget.params=5000")) == 2
    assert time.monotonic() - began < 15
    told = capfd.readouterr().err
    assert "nothing in this space is within the budget" in told
    assert "budget.params=5,000" in told
    assert len(told.strip().splitlines()) <= 12
    assert not (tmp_path / "sweep").exists()


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (("hydra.sweeper.n_trials=0",), "hydra.sweeper.n_trials"),
        (("+hydra.sweeper.n_trails=3",), "Did you mean 'n_trials'?"),
        (("hydra.sweeper.sampler.name=tpee",), "Did you mean 'tpe'?"),
        (("hydra.sweeper.pruner.name=medium",), "Did you mean 'median'?"),
        (("+hydra.sweeper.sampler.startup=3",), "startup"),
        (("hydra.sweeper.objectives=[test/acc]",), "'test/acc' is not an objective"),
        (("hydra.sweeper.objectives=[val/acc,macs]",), "1 direction(s) for 2 objective(s)"),
        (("hydra.sweeper.fill=model.layers.conv3.channels",), "'model.layers.conv3.channels' is not swept"),
        (("hydra.sweeper.storage=nonsense",), "storage"),
        (("hydra.sweeper.storage=postgresql+psycopg://me:secret@127.0.0.1:1/none",), "cannot use postgresql"),
        (("model.layers.conv7.channels=range(9,9)",), "an empty range"),
        (("model.layers.conv9.channels=range(9,19)",), "conv9"),
        (("trainer.max_epochs=lots",), "trainer.max_epochs: expected"),
        (("data=folder", "data.root=/nowhere"), "data.root: there is no directory"),
        (("hydra.sweep.dir=/dev/null/sweep",), "/dev/null/sweep: nothing can be written"),
        (
            ("hydra/sweeper/sampler=grid", "optimizer.lr=interval(0.1,0.2)"),
            "optimizer.lr: expected a range",
        ),
        (("optimizer.lrr=interval(0.1,0.2)",), "optimizer.lr"),
        (("model.layers.conv4.conv_type=choice(standard,seperable)",), "model.layers.conv4.conv_type=seperable"),
        (("model.layers.conv6.skip=choice(conv5,conv55)",), "model.layers.conv6.skip=conv55"),
        (("optimizer=choice(adam,adamx)",), "adamx"),
        (("model=choice(model50k,resnet8)",), "model=resnet8 has no layer 'conv1'"),
    ],
)
def test_mistakes_are_told_before_anything_is_made(
    pretend: Pretend, tmp_path: Path, capfd: pytest.CaptureFixture[str], more: tuple[str, ...], expected: str
) -> None:
    assert pretend(*sweep_arguments(tmp_path / "sweep", 2, *more)) == 2
    told = capfd.readouterr().err
    assert expected in told
    assert "secret" not in told
    assert "Traceback" not in told
    assert len(told.strip().splitlines()) <= 12
    assert not (tmp_path / "sweep").exists()


def test_fill_takes_up_what_the_budget_leaves(pretend: Pretend, tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    fill = ("hydra.sweeper.fill=model.layers.conv7.channels", "model.layers.conv7.channels=range(16,400)")
    assert pretend(*sweep_arguments(sweep, 4, *fill)) == 0
    for row in table(sweep):
        model = yaml.safe_load((sweep / row["number"] / ".hydra" / "config.yaml").read_text())["model"]
        model["layers"]["conv7"]["channels"] += 1
        assert int(row["params"]) <= 50_000
        assert plan_network(ModelSpec.model_validate(model), (3, 32, 32), 10).params > 50_000


def test_two_objectives_leave_a_front(pretend: Pretend, tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    more = ("hydra.sweeper.direction=[maximize,minimize]", "hydra.sweeper.objectives=[val/acc,macs]")
    assert pretend(*sweep_arguments(sweep, 6, *more, "hydra.sweeper.sampler.n_startup_trials=3")) == 0
    solutions = yaml.safe_load((sweep / "optimization_results.yaml").read_text())["solutions"]
    values = [(one["values"]["val/acc"], one["values"]["macs"]) for one in solutions]
    assert values == sorted(values, reverse=True)
    for acc, macs in values:
        assert not any(a >= acc and m <= macs and (a, m) != (acc, macs) for a, m in values)
    assert f"# Trial {solutions[0]['number']} " in (sweep / "best" / "model" / "best.yaml").read_text()


def test_a_trial_whose_result_is_there_is_told_not_run_again(pretend: Pretend, tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    pretend(*sweep_arguments(sweep, 3))
    before = table(sweep)
    for file in sweep.glob("*study.db*"):
        file.unlink()
    assert pretend(*sweep_arguments(sweep, 4)) == 0
    assert [trial for trial, *_ in starts(tmp_path / "starts.log")] == [0, 1, 2, 3]
    columns = ("number", "state", "val/acc", "model.layers.conv1.channels", "model.layers.conv7.channels")
    after = table(sweep)[:3]
    assert [[row[key] for key in columns] for row in after] == [[row[key] for key in columns] for row in before]


def test_a_study_that_lost_its_last_trials_finds_them_again(pretend: Pretend, tmp_path: Path) -> None:
    sweep, more = tmp_path / "sweep", ("model.layers.conv5.skip=null,conv4",)
    pretend(*sweep_arguments(sweep, 2, *more))
    kept = (sweep / "study.db").read_bytes()
    pretend(*sweep_arguments(sweep, 5, *more))
    for file in sweep.glob("*study.db*"):
        file.unlink()
    (sweep / "study.db").write_bytes(kept)
    assert pretend(*sweep_arguments(sweep, 6, *more)) == 0
    assert [trial for trial, *_ in starts(tmp_path / "starts.log")] == list(range(6))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="only Linux lists the open files of a process")
def test_a_sweep_leaves_no_file_open(pretend: Pretend, tmp_path: Path) -> None:
    pretend(*sweep_arguments(tmp_path / "sweep", 1))
    opened = [os.path.realpath(file) for file in Path("/proc/self/fd").iterdir()]
    assert [file for file in opened if str(tmp_path) in file] == []


def test_a_killed_sweep_of_references_goes_on(pretend: Pretend, tmp_path: Path) -> None:
    sweep, more = tmp_path / "sweep", ("model.layers.conv2.channels=${model.layers.conv1.channels}",)
    pretend(*sweep_arguments(sweep, 2, *more))
    for file in sweep.glob("*study.db*"):
        file.unlink()
    (sweep / "1" / "result.json").unlink()
    assert pretend(*sweep_arguments(sweep, 2, *more)) == 0
    assert [(trial, epoch) for trial, epoch, _ in starts(tmp_path / "starts.log")][2:] == [(1, 50)]


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


def test_a_directory_with_other_trials_is_not_written_into(
    pretend: Pretend, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sweep = tmp_path / "sweep"
    pretend(*sweep_arguments(sweep, 1))
    before = (sweep / "0" / "result.json").read_text()
    assert pretend(*sweep_arguments(sweep, 1, "hydra.sweeper.study_name=other")) == 2
    assert "already contains a run that is not trial 0 of the study 'other'" in capfd.readouterr().err
    assert (sweep / "0" / "result.json").read_text() == before


def test_a_study_begun_with_other_choices_is_not_gone_on_with(
    pretend: Pretend, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sweep = tmp_path / "sweep"
    pretend(*sweep_arguments(sweep, 1))
    assert pretend(*sweep_arguments(sweep, 2, "model.layers.conv1.channels=choice(16,32)")) == 2
    assert "model.layers.conv1.channels: the study 'sweep' was started with choice(16,32,64)" in capfd.readouterr().err
    assert pretend(*sweep_arguments(sweep, 2, "hydra.sweeper.direction=minimize")) == 2
    assert "was started with maximize val/acc, this command has minimize val/acc" in capfd.readouterr().err
    for more in ("budget.params=40000", "optimizer.lr=choice(0.1,0.2)", "model.layers.conv7.channels=24"):
        assert pretend(*sweep_arguments(sweep, 2, more)) == 2
        assert f"{more.partition('=')[0]}: the study 'sweep' was started with" in capfd.readouterr().err
    may_change = ("logger.mode=disabled", "model.layers.conv7.channels=range(16,65,step=8)")
    assert pretend(*sweep_arguments(sweep, 2, *may_change)) == 0


def test_first_trials_that_fail_for_one_reason_are_not_used_up(
    pretend: Pretend, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sweep = tmp_path / "sweep"
    assert pretend(*sweep_arguments(sweep, 5), misfortunes=dict.fromkeys(range(5), "raises")) == 2
    assert "first 3 trials failed for one reason:\nValueError: no such luck" in capfd.readouterr().err
    assert pretend(*sweep_arguments(sweep, 5)) == 0
    assert [row["state"] for row in table(sweep)] == ["complete"] * 5


@pytest.mark.parametrize("cause", ["user error", "full disk"])
def test_a_cause_that_all_trials_share_stops_the_sweep(
    pretend: Pretend, tmp_path: Path, capfd: pytest.CaptureFixture[str], cause: str
) -> None:
    sweep = tmp_path / "sweep"
    assert pretend(*sweep_arguments(sweep, 4), misfortunes={1: cause}) == 2
    reported = capfd.readouterr().err
    assert "all trials would fail (trial 1)" in reported
    assert "Traceback" not in reported
    assert pretend(*sweep_arguments(sweep, 4)) == 0
    assert [row["state"] for row in table(sweep)] == ["complete"] * 4


def test_a_study_that_is_removed_stops_the_sweep_and_is_made_again(
    pretend: Pretend, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sweep = tmp_path / "sweep"
    assert pretend(*sweep_arguments(sweep, 3), misfortunes={1: "removes the study"}) == 2
    reported = capfd.readouterr().err
    assert f"{sweep / 'study.db'} was removed while the sweep was running" in reported
    assert "Traceback" not in reported
    assert pretend(*sweep_arguments(sweep, 3)) == 0
    assert [row["state"] for row in table(sweep)] == ["complete"] * 3
    assert [trial for trial, *_ in starts(tmp_path / "starts.log")] == [0, 1, 2]


@pytest.mark.parametrize("scheme", ["sqlite:///", "journal://"])
@pytest.mark.parametrize("kind", ["a directory", "another file"])
def test_a_storage_that_is_no_study_is_reported_in_one_message(
    pretend: Pretend, tmp_path: Path, capfd: pytest.CaptureFixture[str], scheme: str, kind: str
) -> None:
    file = tmp_path / "storage"
    if kind == "a directory":
        file.mkdir()
    else:
        file.write_text("not a study\n" * 1000)
    assert pretend(*sweep_arguments(tmp_path / "sweep", 1, f"hydra.sweeper.storage={scheme}{file}")) == 2
    reported = capfd.readouterr().err
    assert f"cannot use {scheme}{file}:" in reported
    assert len(reported.strip().splitlines()) <= 3
    assert not (tmp_path / "sweep").exists()


@pytest.mark.parametrize(
    ("url", "package"),
    [
        ("redis://localhost", "redis"),
        ("mysql://me:secret@localhost/studies", "pymysql"),
        ("grpc://localhost", "grpcio"),
    ],
)
def test_a_storage_whose_package_is_missing_reports_what_to_install(
    pretend: Pretend, tmp_path: Path, capfd: pytest.CaptureFixture[str], url: str, package: str
) -> None:
    if importlib.util.find_spec({"grpcio": "grpc"}.get(package, package)) is not None:
        pytest.skip(f"{package} is installed")
    assert pretend(*sweep_arguments(tmp_path / "sweep", 1, f"hydra.sweeper.storage='{url}'")) == 2
    reported = capfd.readouterr().err
    assert f"pip install {package}" in reported
    assert "secret" not in reported
    assert len(reported.strip().splitlines()) == 2


def test_a_directory_may_have_any_name(pretend: Pretend, tmp_path: Path) -> None:
    sweep = tmp_path / "a?b%41#c"
    assert pretend(*sweep_arguments(f"'{sweep}'", 1)) == 0
    assert (sweep / "study.db").is_file()


def test_a_trial_without_values_for_the_space_is_marked_failed(pretend: Pretend, tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    pretend(*sweep_arguments(sweep, 1))
    study_in(sweep).enqueue_trial({"model.layers.conv1.channels": 32})
    assert pretend(*sweep_arguments(sweep, 3)) == 0
    assert [row["state"] for row in table(sweep)] == ["complete", "failed", "complete"]


def test_the_study_knows_cost_model_and_search_of_each_trial(pretend: Pretend, tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    pretend(*sweep_arguments(sweep, 2))
    for trial in study_in(sweep).trials:
        assert trial.user_attrs["priced"] >= trial.user_attrs["within_budget"] >= 1
        assert trial.user_attrs["model"]["layers"]["conv7"]["channels"] == trial.params["model.layers.conv7.channels"]
        assert math.isclose(trial.value, trial.user_attrs["val/acc"])


def test_no_password_is_written_down(
    pretend: Pretend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from cifar_exp.sweep.study import storage, study

    opened = storage.open_storage
    monkeypatch.setattr(study, "open_storage", lambda url: opened(f"sqlite:///{tmp_path / 'there.db'}"))
    url = "postgresql+psycopg://me:secret@localhost/studies"
    assert pretend(*sweep_arguments(tmp_path / "sweep", 1, f"hydra.sweeper.storage='{url}'")) == 0
    assert "secret" not in capfd.readouterr().err
    written = [path for path in (tmp_path / "sweep").rglob("*") if path.is_file() and b"secret" in path.read_bytes()]
    assert written == []
    shutil.rmtree(tmp_path / "sweep")
