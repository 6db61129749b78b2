"""A sweep that is called again: what it keeps, finds again, and refuses."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.sweep.conftest import numbers, starts, study_in, sweep_arguments, table

Pretend = Callable[..., int]


def test_a_second_call_continues_up_to_n_trials(pretend: Pretend, tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    pretend(*sweep_arguments(sweep, 1))
    assert pretend(*sweep_arguments(sweep, 3)) == 0
    assert numbers(sweep) == list(range(3))
    assert pretend(*sweep_arguments(sweep, 3)) == 0
    assert [trial for trial, *_ in starts(tmp_path / "starts.log")] == list(range(3))


def test_a_sweep_in_parts_proposes_what_a_whole_one_does(pretend: Pretend, tmp_path: Path) -> None:
    early = "hydra.sweeper.sampler.n_startup_trials=2"
    pretend(*sweep_arguments(tmp_path / "whole", 3, early))
    for n_trials in (1, 3):
        pretend(*sweep_arguments(tmp_path / "parts", n_trials, early))
    columns = [key for key in table(tmp_path / "whole")[0] if key.startswith("model.")]
    whole, parts = ([[row[key] for key in columns] for row in table(tmp_path / d)] for d in ("whole", "parts"))
    assert whole == parts


def test_a_trial_whose_result_is_there_is_recorded_and_not_run_again(pretend: Pretend, tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    pretend(*sweep_arguments(sweep, 2))
    before = table(sweep)
    for file in sweep.glob("*study.db*"):
        file.unlink()
    assert pretend(*sweep_arguments(sweep, 3)) == 0
    assert [trial for trial, *_ in starts(tmp_path / "starts.log")] == [0, 1, 2]
    columns = ("number", "state", "val/acc", "model.layers.conv1.channels", "model.layers.conv7.channels")
    after = table(sweep)[:2]
    assert [[row[key] for key in columns] for row in after] == [[row[key] for key in columns] for row in before]


def test_a_study_that_lost_its_last_trials_finds_them_again(pretend: Pretend, tmp_path: Path) -> None:
    sweep, more = tmp_path / "sweep", ("model.layers.conv5.skip=null,conv4",)
    pretend(*sweep_arguments(sweep, 1, *more))
    kept = (sweep / "study.db").read_bytes()
    pretend(*sweep_arguments(sweep, 3, *more))
    for file in sweep.glob("*study.db*"):
        file.unlink()
    (sweep / "study.db").write_bytes(kept)
    assert pretend(*sweep_arguments(sweep, 4, *more)) == 0
    assert [trial for trial, *_ in starts(tmp_path / "starts.log")] == list(range(4))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="only Linux lists the open files of a process")
def test_a_sweep_leaves_no_file_open(pretend: Pretend, tmp_path: Path) -> None:
    pretend(*sweep_arguments(tmp_path / "sweep", 1))
    opened = [os.path.realpath(file) for file in Path("/proc/self/fd").iterdir()]
    assert [file for file in opened if str(tmp_path) in file] == []


def test_a_killed_sweep_of_references_continues_whatever_their_plus(pretend: Pretend, tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    more = ("model.layers.conv2.channels=${model.layers.conv1.channels}", "model.layers.conv7.channels=range(16,64)")
    pretend(*sweep_arguments(sweep, 2, *(f"++{one}" for one in more)))
    for file in sweep.glob("*study.db*"):
        file.unlink()
    (sweep / "1" / "result.json").unlink()
    assert pretend(*sweep_arguments(sweep, 2, *more)) == 0
    assert [(trial, epoch) for trial, epoch, _ in starts(tmp_path / "starts.log")][2:] == [(1, 50)]


def test_a_directory_with_other_trials_is_not_written_into(
    pretend: Pretend, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sweep = tmp_path / "sweep"
    pretend(*sweep_arguments(sweep, 1))
    before = {file: file.read_bytes() for file in sweep.rglob("*") if file.is_file() and file.name[0] != "."}
    assert pretend(*sweep_arguments(sweep, 1, "hydra.sweeper.study_name=other")) == 2
    assert "already contains a run that is not trial 0 of the study 'other'" in capfd.readouterr().err
    assert {file: file.read_bytes() for file in before} == before


def test_a_study_begun_with_other_settings_is_not_continued(
    pretend: Pretend, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sweep = tmp_path / "sweep"
    pretend(*sweep_arguments(sweep, 1))
    assert pretend(*sweep_arguments(sweep, 2, "model.layers.conv1.channels=choice(16,32)")) == 2
    assert "model.layers.conv1.channels: the study 'sweep' was started with choice(16,32,64)" in capfd.readouterr().err
    assert pretend(*sweep_arguments(sweep, 2, "hydra.sweeper.direction=minimize")) == 2
    assert "was started with maximize val/acc, this command has minimize val/acc" in capfd.readouterr().err
    kinds = ("24", "choice(16,24)", "tag(log,range(16,129))")
    widths = (f"model.layers.conv7.channels={kind}" for kind in kinds)
    for more in ("budget.params=40000", "optimizer.lr=choice(0.1,0.2)", *widths):
        assert pretend(*sweep_arguments(sweep, 2, more)) == 2
        assert f"{more.partition('=')[0]}: the study 'sweep' was started with" in capfd.readouterr().err
    assert pretend(*sweep_arguments(sweep, 2, "~model.layers.conv6")) == 2
    assert "started with the default, this command has deleted" in capfd.readouterr().err
    may_change = ("logger.mode=disabled", "trainer.devices=1", "model.layers.conv7.channels=range(16,65,step=8)")
    assert pretend(*sweep_arguments(sweep, 2, *may_change)) == 0


def test_a_trial_without_values_for_the_space_is_marked_failed(pretend: Pretend, tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    pretend(*sweep_arguments(sweep, 1))
    study_in(sweep).enqueue_trial({"model.layers.conv1.channels": 32})
    assert pretend(*sweep_arguments(sweep, 3)) == 0
    assert [row["state"] for row in table(sweep)] == ["complete", "failed", "complete"]


def test_a_study_is_not_continued_once_a_file_of_its_config_is_edited(
    pretend: Pretend, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sweep, file = tmp_path / "sweep", tmp_path / "own" / "optimizer" / "mine.yaml"
    file.parent.mkdir(parents=True)
    more = ("optimizer=mine", "--config-dir", str(file.parents[1]))
    file.write_text("name: sgd\nlr: 0.05\n")
    assert pretend(*sweep_arguments(sweep, 1, *more)) == 0
    assert pretend(*sweep_arguments(sweep, 2, *more, "name=other", "tags=[b]", "trainer.accelerator=cpu")) == 0
    file.write_text("name: sgd\nlr: 0.02\n")
    assert pretend(*sweep_arguments(sweep, 3, *more)) == 2
    reported = capfd.readouterr().err
    assert "optimizer.lr: the run has 0.05, given is 0.02." in reported
    assert len(table(sweep)) == 2


def test_a_value_between_integers_that_is_read_back_is_not_tried_again(pretend: Pretend, tmp_path: Path) -> None:
    """0.1 and a step of 0.2 are 0.30000000000000004, which the trial's config has as 0.3."""
    sweep, widths = tmp_path / "sweep", (f"model.layers.conv{number}.channels=16" for number in (1, 7))
    more = (*widths, "model.layer.dropout=range(0.1,0.4,step=0.2)", "hydra/sweeper/sampler=grid")
    assert pretend(*sweep_arguments(sweep, 2, *more)) == 0
    for file in sweep.glob("*study.db*"):
        file.unlink()
    assert pretend(*sweep_arguments(sweep, 3, *more)) == 0
    assert [row["model.layer.dropout"] for row in table(sweep)] == ["0.1", "0.3"]
