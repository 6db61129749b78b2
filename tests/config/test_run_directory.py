"""What remains of a run's directory."""

import shlex
from contextlib import nullcontext
from pathlib import Path

import pytest
from filelock import FileLock

from cifar_exp.checks import Planned
from cifar_exp.cli.run_directory import used
from cifar_exp.config.overrides import parse_overrides
from cifar_exp.config.schema import TrainConfig
from cifar_exp.errors import UserError
from tests.config.harness import CifarExp, FakeTraining


def test_a_run_gets_its_directory_config_and_log(cifar_exp: CifarExp, training: FakeTraining) -> None:
    ended = cifar_exp("train", "data=synthetic", "model=model2")

    assert ended.status == 0
    (directory,) = training.directories
    assert directory.parent == Path.cwd() / "outputs" / "model2"
    assert {path.name for path in directory.iterdir()} == {".hydra", "train.log"}
    assert (directory / ".hydra" / "config.yaml").is_file()


def test_an_error_found_in_the_job_removes_what_is_new(
    cifar_exp: CifarExp, training: FakeTraining, broken_image: UserError
) -> None:
    training.error = broken_image

    ended = cifar_exp("train", "data=synthetic")

    assert (ended.status, ended.err) == (2, "broken.png: not an image.\n")
    assert not list(Path.cwd().iterdir())


def test_an_error_found_in_the_job_keeps_what_was_there(
    cifar_exp: CifarExp, training: FakeTraining, broken_image: UserError
) -> None:
    training.error = broken_image
    Path("mine").mkdir()
    Path("mine/notes.txt").write_text("keep")

    for directory in ("mine", "mine/new/run"):
        assert cifar_exp("train", "data=synthetic", f"hydra.run.dir={directory}").status == 2

    assert Path("mine/notes.txt").read_text() == "keep"
    assert not Path("mine/new").exists()


def test_an_error_leaves_nothing_of_ours_in_a_directory_that_was_there(
    cifar_exp: CifarExp, training: FakeTraining, broken_image: UserError
) -> None:
    training.error = broken_image
    Path("mine").mkdir()

    assert cifar_exp("train", "data=synthetic", "hydra.run.dir=mine").status == 2
    assert not list(Path("mine").iterdir())


def test_a_directory_that_another_process_has_made_first_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Path("run").absolute()
    monkeypatch.setattr("cifar_exp.cli.run_directory.missing", lambda directory: [directory])
    (run / ".hydra").mkdir(parents=True)
    with FileLock(run / ".hydra" / "run.lock"), pytest.raises(UserError, match="in use"), used(run, is_alone=True):
        pass
    assert run.is_dir()


def test_an_unexpected_exception_keeps_the_directory(cifar_exp: CifarExp, training: FakeTraining) -> None:
    training.error = RuntimeError("ours")

    with pytest.raises(RuntimeError):
        cifar_exp("train", "data=synthetic")

    assert training.directories[0].is_dir()


def test_an_error_in_all_jobs_of_a_multirun_leaves_nothing(
    cifar_exp: CifarExp, training: FakeTraining, broken_image: UserError
) -> None:
    training.error = broken_image

    assert cifar_exp("train", "-m", "data=synthetic", "seed=0,1").status == 2
    assert not list(Path.cwd().iterdir())


def test_an_error_in_one_job_of_a_multirun_keeps_the_others(
    cifar_exp: CifarExp, training: FakeTraining, broken_image: UserError
) -> None:
    def trained(checked: Planned[TrainConfig]) -> None:
        if checked.config.seed:
            raise broken_image
        Path("sweep/0/checkpoints").mkdir()

    training.main = trained  # type: ignore[method-assign]

    assert cifar_exp("train", "-m", "data=synthetic", "seed=0,1", "hydra.sweep.dir=sweep").status == 2
    assert sorted(path.name for path in Path("sweep").glob("[!.]*")) == ["0", "multirun.yaml"]


def test_the_jobs_of_a_multirun_share_a_directory(cifar_exp: CifarExp, training: FakeTraining) -> None:
    cifar_exp("train", "-m", "data=synthetic", "model=model1,model2")

    first, second = training.directories
    assert (first.name, second.name) == ("0", "1")
    assert first.parent == second.parent
    assert [cfg.name for cfg in training.configs] == ["model1", "model2"]


@pytest.mark.parametrize("left", ["result.json", "checkpoints"])
def test_a_directory_that_contains_a_run_is_not_used_again(
    left: str, cifar_exp: CifarExp, training: FakeTraining
) -> None:
    (Path("old") / left).mkdir(parents=True)

    ended = cifar_exp("train", "data=synthetic", "hydra.run.dir=old")

    assert ended.status == 2
    assert "resume=old" in ended.err
    assert not training.configs


@pytest.mark.parametrize("left", ["result.json", "checkpoints", "lock"])
@pytest.mark.parametrize("jobs", ["seed=0,1", "resume=auto", "sweep=width50k"])
def test_the_directory_of_a_run_is_not_one_of_several(
    jobs: str, left: str, cifar_exp: CifarExp, training: FakeTraining
) -> None:
    (Path("run") / ".hydra").mkdir(parents=True)
    with FileLock("run/.hydra/run.lock") if left == "lock" else nullcontext():
        if left != "lock":
            (Path("run") / left).mkdir()
        ended = cifar_exp("train", "-m", "data=synthetic", "hydra.sweep.dir=run", jobs)

    assert ended.status == 2
    expected = "in use by another process" if left == "lock" else f"already contains a run ({left})"
    assert ended.err.startswith(f"run: {expected}")
    assert not training.configs
    assert {path.name for path in Path("run").rglob("*")} <= {".hydra", "run.lock", left}


@pytest.mark.parametrize("resume", ["null", "auto"])
def test_the_directory_of_several_runs_is_not_one_of_a_run(
    resume: str, cifar_exp: CifarExp, training: FakeTraining
) -> None:
    assert cifar_exp("train", "-m", "data=synthetic", "seed=0,1", "hydra.sweep.dir=jobs").status == 0

    ended = cifar_exp("train", "data=synthetic", "hydra.run.dir=jobs", f"resume={resume}")

    assert (ended.status, ended.err) == (
        2, "jobs: contains several runs (multirun.yaml); choose another directory.\n"
    )  # fmt: skip
    assert len(training.configs) == 2
    assert cifar_exp("train", "-m", "data=synthetic", "seed=0,1,2", "hydra.sweep.dir=jobs", "resume=auto").status == 0


def test_the_command_that_continues_can_be_pasted_into_a_shell(cifar_exp: CifarExp, training: FakeTraining) -> None:
    (Path("it's $my run") / "checkpoints").mkdir(parents=True)

    ended = cifar_exp("train", "data=synthetic", 'hydra.run.dir="it\'s $my run"')

    _, command, override = shlex.split(ended.err.partition("Continue it with: ")[2])
    assert (command, parse_overrides([override])[0].value()) == ("train", "it's $my run")


def test_a_directory_that_cannot_be_made_is_reported(cifar_exp: CifarExp, training: FakeTraining) -> None:
    Path("file").write_text("")

    ended = cifar_exp("train", "data=synthetic", "hydra.run.dir=file/run")

    assert ended.status == 2
    assert "file/run" in ended.err


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a file system in which nobody makes directories")
def test_a_directory_that_the_system_does_not_make_is_reported(cifar_exp: CifarExp, training: FakeTraining) -> None:
    ended = cifar_exp("train", "data=synthetic", "hydra.run.dir=/proc/none/run")

    assert (ended.status, ended.err.count("/proc/none/run: ")) == (2, 1)


def test_other_commands_leave_no_directory(cifar_exp: CifarExp) -> None:
    assert cifar_exp("summary", "model=model2").status == 0
    assert cifar_exp("summary", "-m", "model=model1,model2").status == 0
    assert not list(Path.cwd().iterdir())


def test_ctrl_c_reports_how_to_continue(cifar_exp: CifarExp, training: FakeTraining) -> None:
    def interrupted(cfg: object) -> float:
        Path("run/checkpoints").mkdir()
        Path("run/checkpoints/last.ckpt").write_text("")
        raise KeyboardInterrupt

    training.main = interrupted  # type: ignore[method-assign]

    with pytest.raises(KeyboardInterrupt, match="train resume=run"):
        cifar_exp("train", "data=synthetic", "hydra.run.dir=run")


def test_ctrl_c_reports_how_to_continue_several(cifar_exp: CifarExp, training: FakeTraining) -> None:
    def interrupted(cfg: object) -> float:
        raise KeyboardInterrupt

    training.main = interrupted  # type: ignore[method-assign]

    with pytest.raises(KeyboardInterrupt, match=f"with resume=auto hydra.sweep.dir={Path.cwd() / 'jobs'}"):
        cifar_exp("train", "-m", "data=synthetic", "seed=0,1", "hydra.sweep.dir=jobs")


def test_a_directory_in_which_another_process_trains_is_left_alone(cifar_exp: CifarExp, training: FakeTraining) -> None:
    Path("run/.hydra").mkdir(parents=True)
    with FileLock("run/.hydra/run.lock"):
        ended = cifar_exp("train", "data=synthetic", "hydra.run.dir=run")
        assert ended.status == 2
        assert "run: in use by another process" in ended.err
        assert Path("run").is_dir()
        assert not training.configs
    assert cifar_exp("train", "data=synthetic", "hydra.run.dir=run").status == 0


def test_an_error_found_late_does_not_cost_the_run(cifar_exp: CifarExp, training: FakeTraining) -> None:
    def trained(cfg: object) -> float:
        Path("run/checkpoints").mkdir()
        Path("run/checkpoints/last.ckpt").write_text("")
        raise UserError("the test images are gone")

    training.main = trained  # type: ignore[method-assign]

    assert cifar_exp("train", "data=synthetic", "hydra.run.dir=run").status == 2
    assert Path("run/checkpoints/last.ckpt").is_file()


def test_jobs_may_be_named_by_a_reference(cifar_exp: CifarExp, training: FakeTraining) -> None:
    jobs = ["model=model2,model50k", "hydra.sweep.dir=sweep", "hydra.sweep.subdir=${model.name}-${hydra.job.num}"]

    assert cifar_exp("train", "-m", "data=synthetic", *jobs).status == 0
    assert [path.name for path in training.directories] == ["model2-0", "model50k-1"]


def test_jobs_may_be_named_by_their_overrides(cifar_exp: CifarExp, training: FakeTraining) -> None:
    jobs = ["seed=0,1", "hydra.sweep.dir=sweep", "hydra.sweep.subdir=${hydra.job.override_dirname}"]

    assert cifar_exp("train", "-m", "data=synthetic", *jobs).status == 0
    assert [path.name for path in training.directories] == [f"data=synthetic,seed={seed}" for seed in (0, 1)]


@pytest.mark.parametrize("where", [("-m", "seed=0,1", "hydra.sweep.subdir="), ("seed=0", "hydra.run.dir=runs/")])
def test_resume_is_no_part_of_a_name(where: tuple[str, ...], cifar_exp: CifarExp, training: FakeTraining) -> None:
    given = [
        "train",
        "data=synthetic",
        "hydra.sweep.dir=sweep",
        *where[:-1],
        where[-1] + "${hydra.job.override_dirname}",
    ]

    assert cifar_exp(*given).status == cifar_exp(*given, "resume=auto").status == 0
    first, again = training.directories[: len(where) - 1], training.directories[len(where) - 1 :]
    assert first == again


def test_a_key_is_excluded_from_the_names_of_jobs(cifar_exp: CifarExp, training: FakeTraining) -> None:
    names = "hydra.job.config.override_dirname.exclude_keys=[data]"
    jobs = ["seed=0,1", "hydra.sweep.dir=sweep", "hydra.sweep.subdir=${hydra.job.override_dirname}", names]

    assert cifar_exp("train", "-m", "data=synthetic", *jobs).status == 0
    assert [path.name for path in training.directories] == ["seed=0", "seed=1"]


def test_a_run_is_readable_whatever_hydra_writes(cifar_exp: CifarExp, training: FakeTraining) -> None:
    assert cifar_exp("train", "data=synthetic", "hydra.run.dir=run", "hydra.output_subdir=null").status == 0
    assert {path.name for path in Path("run/.hydra").glob("*.yaml")} == {"config.yaml", "hydra.yaml", "overrides.yaml"}


@pytest.mark.parametrize("flags", [["hydra.run.dir=run"], ["-m", "seed=0,1", "trainer.devices=1"]])
def test_paths_start_from_where_the_command_was_given(
    flags: list[str], cifar_exp: CifarExp, training: FakeTraining
) -> None:
    images = Path("images").absolute()
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            Path("images", split, name).mkdir(parents=True)
            Path("images", split, name, "1.png").write_bytes(b"")
    given = ["data=folder", "data.root=images", "hydra.job.chdir=true"]

    assert cifar_exp("train", *given, *flags).status == 0
    assert {config.data.root for config in training.configs} == {str(images)}


def test_two_commands_in_one_second_have_their_own_directories() -> None:
    directory = Path("run").absolute()
    with used(directory, is_default=True) as first, used(directory, is_default=True) as second:
        assert (first.name, second.name) == ("run", "run-2")


def test_the_saved_config_has_the_values_that_the_run_had(
    cifar_exp: CifarExp, training: FakeTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASK", "7")
    Path("own/experiment").mkdir(parents=True)
    experiment = "# @package _global_\nseed: ${oc.decode:${oc.env:TASK}}\nname: run-${now:%Y}\n"
    Path("own/experiment/array.yaml").write_text(experiment)
    given = ["--config-dir", "own", "experiment=array", "data=synthetic", "hydra.run.dir=run"]

    assert cifar_exp("train", *given).status == 0
    saved = Path("run/.hydra/config.yaml").read_text()
    assert "seed: 7" in saved
    assert "${" not in saved


def test_auto_continues_where_there_is_a_run_and_starts_where_there_is_none(
    cifar_exp: CifarExp, training: FakeTraining
) -> None:
    given = ["train", "data=synthetic", "hydra.run.dir=run", "resume=auto"]

    assert cifar_exp(*given).status == 0
    Path("run/checkpoints").mkdir()
    assert cifar_exp(*given).status == 0
    assert training.directories == [Path("run").absolute()] * 2


def test_lists_of_callbacks_add_up(cifar_exp: CifarExp, training: FakeTraining) -> None:
    assert cifar_exp("train", "data=synthetic", "callbacks=[ema,early_stopping]", "callbacks.ema.decay=0.9").status == 0
    callbacks = training.configs[0].callbacks
    assert (callbacks.ema.decay, callbacks.early_stopping.patience) == (0.9, 10)


def test_a_tilde_is_the_home_in_every_path(
    cifar_exp: CifarExp, training: FakeTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(Path("home").absolute()))

    assert cifar_exp("train", "data=synthetic", "hydra.run.dir=~/run").status == 0
    assert cifar_exp("train", "-m", "data=synthetic", "trainer.devices=1", "hydra.sweep.dir=~/jobs").status == 0
    assert training.directories == [Path("home/run").absolute(), Path("home/jobs/0").absolute()]
    assert not list(Path.cwd().glob("~*"))


def test_a_user_without_a_home_gets_a_message(
    cifar_exp: CifarExp, training: FakeTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    def homeless(path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", homeless)

    ended = cifar_exp("train", "data=synthetic", "hydra.run.dir=~/run")
    assert (ended.status, ended.err.count("no home directory")) == (2, 1)


def test_what_the_system_refuses_is_named_and_leaves_nothing(cifar_exp: CifarExp, training: FakeTraining) -> None:
    training.error = OSError(28, "No space left on device", "run/result.json")

    ended = cifar_exp("train", "data=synthetic", "hydra.run.dir=run")

    assert (ended.status, ended.err) == (2, "run/result.json: No space left on device.\n")
    assert not Path("run").exists()


@pytest.mark.parametrize("target", ["nowhere", "link"])
def test_a_link_that_leads_nowhere_is_no_directory(target: str, cifar_exp: CifarExp, training: FakeTraining) -> None:
    Path("link").symlink_to(target)

    assert cifar_exp("train", "data=synthetic", "hydra.run.dir=link").status == 2
    assert Path("link").is_symlink()
    assert not training.configs
