"""The commands that work on a finished run read its config, and check what they are asked for."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from cifar_exp.checks import check_eval, check_train
from cifar_exp.errors import UserError
from cifar_exp.runs.run import load_run
from tests.config.harness import CifarExp, FakeTraining


@pytest.fixture
def run(cifar_exp: CifarExp, training: FakeTraining) -> Path:
    """The directory of a run that has trained."""
    overrides = ["data=synthetic", "data.test_size=100", "model=model2", "hydra.run.dir=runs/first"]
    assert cifar_exp("train", *overrides).status == 0
    directory = Path("runs/first")
    (directory / "checkpoints").mkdir()
    (directory / "checkpoints" / "best.ckpt").write_bytes(b"")
    return directory


def test_a_saved_run_has_its_own_config(run: Path) -> None:
    saved = load_run(run)

    assert saved.config is not None
    assert saved.config.model.name == "model2"
    assert saved.checkpoint == run / "checkpoints" / "best.ckpt"
    assert check_train(OmegaConf.load(run / ".hydra" / "config.yaml")).plan.params == 104_106  # type: ignore[arg-type]


def test_eval_uses_the_runs_own_data(run: Path) -> None:
    assert check_eval({"run": str(run), "data": None})[2].test_size == 100


def test_eval_may_change_a_single_key_of_the_data(run: Path) -> None:
    data = check_eval({"run": str(run), "data": {"eval_batch_size": 7}})[2]

    assert (data.name, data.test_size, data.eval_batch_size) == ("synthetic", 100, 7)


def test_eval_takes_a_chosen_source_as_it_is(run: Path) -> None:
    data = check_eval({"run": str(run), "data": {"name": "cifar10"}})[2]

    assert (data.name, data.test_size) == ("cifar10", None)


def test_eval_names_an_unknown_key_of_the_data(run: Path) -> None:
    with pytest.raises(UserError, match=r"data\.rooot: unknown key\. Did you mean 'data\.root'"):
        check_eval({"run": str(run), "data": {"rooot": "x"}})


def test_a_run_without_weights_is_none(run: Path) -> None:
    (run / "checkpoints" / "best.ckpt").unlink()

    with pytest.raises(UserError, match=r"no checkpoints/best\.ckpt"):
        load_run(run)


def test_a_near_directory_is_suggested(run: Path) -> None:
    with pytest.raises(UserError, match="Did you mean 'runs/first'"):
        load_run("runs/fist")
