"""What the command line may say of a model, of a sweep, and of a run to resume."""

from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from cifar_exp.checks import composer
from cifar_exp.cli.sweep_file import expand_sweep
from cifar_exp.config.compose import hydra_session
from cifar_exp.config.overrides import lines, parse_overrides, written
from tests.config.harness import CifarExp, FakeTraining

PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
VALUES = st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=3), max_leaves=6)


def test_fields_that_a_layer_does_not_hold_yet_need_no_plus(cifar_exp: CifarExp, training: FakeTraining) -> None:
    ended = cifar_exp(
        "train", "data=synthetic", "model.layers.conv5.channels=96", "model.layer.dropout=0.1",
        "model.layers.conv7.skip=conv6", "model.head.pool=avg", "model.layer.groups=1",
    )  # fmt: skip

    assert ended.status == 0
    (cfg,) = training.configs
    assert cfg.model.layers["conv5"].channels == 96
    assert cfg.model.layers["conv7"].skip == "conv6"
    assert (cfg.model.layer.dropout, cfg.model.layer.groups, cfg.model.head.pool) == (0.1, 1, "avg")


def test_a_plus_adds_a_layer(cifar_exp: CifarExp, training: FakeTraining) -> None:
    ended = cifar_exp(
        "train", "data=synthetic", "+model.layers.new.channels=64", "model.layers.new.skip=conv7",
        "~model.layers.conv6",
    )  # fmt: skip

    assert ended.status == 0
    layers = training.configs[0].model.layers
    assert [*layers][-2:] == ["conv7", "new"]
    assert (layers["new"].channels, layers["new"].skip) == (64, "conv7")


@pytest.mark.parametrize("chosen", [(), ("trainer=ddp", "trainer.accelerator=cpu"), ("trainer.devices=auto",)])
def test_each_job_of_a_multirun_has_one_device(
    chosen: tuple[str, ...], cifar_exp: CifarExp, training: FakeTraining
) -> None:
    ended = cifar_exp("train", "-m", "data=synthetic", "seed=0,1", *chosen)

    assert ended.status == 0
    assert [cfg.trainer.devices for cfg in training.configs] == [1, 1]
    assert "devices: 1\n" in (training.directories[1] / ".hydra" / "config.yaml").read_text()
    assert cifar_exp("train", "-m", "data=synthetic", "seed=0,1", *chosen, "resume=auto").status == 0


def test_an_option_may_be_in_a_directory_below_its_group(cifar_exp: CifarExp, tmp_path: Path) -> None:
    (tmp_path / "model" / "small").mkdir(parents=True)
    (tmp_path / "model" / "small" / "mine.yaml").write_text("name: mine\nlayers: {first: {channels: 8}}\n")

    for option in ("small/mine", "small/mine.yaml"):
        assert cifar_exp("summary", "--config-dir", str(tmp_path), f"model={option}").out.startswith("mine\n")
    assert "model=small/mien: no such option" in cifar_exp("summary", "model=small/mien").err


def test_ones_own_model_wins_over_a_shipped_one(cifar_exp: CifarExp, training: FakeTraining, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model3.yaml").write_text("name: mine\nlayers: {first: {channels: 8}}\n")

    ended = cifar_exp("train", "--config-dir", str(tmp_path), "data=synthetic", "model.layers.first.stride=2")

    assert ended.status == 0
    (first,) = training.configs[0].model.layers.values()
    assert (first.channels, first.stride) == (8, 2)


def test_eval_may_change_one_key_of_the_runs_data() -> None:
    with hydra_session("eval"):
        cfg = composer("eval").compose(parse_overrides(["run=x", "data.root=y"]))

    assert cfg.data == {"root": "y"}
    assert cfg.hydra.overrides.task == ["run=x", "data.root=y"]


@given(VALUES)
def test_a_written_value_reads_back_as_itself(value: object) -> None:
    assert OverridesParser.create().parse_override(f"key={written(value)}").value() == value


SWEEP = """\
budget: {params: 50000}
model: model50k
tags: [a, "b c"]
optimizer: {lr: 1e-3}
hydra:
  sweeper:
    n_trials: 50              # a comment
    storage: null
    study_name: width50k
    params:
      model.layers.conv1.channels: range(16, 97, step=8)
      optimizer: choice(adamw,sgd)
"""


@pytest.fixture
def own(tmp_path: Path) -> str:
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "mine.yaml").write_text(SWEEP)
    return str(tmp_path)


def test_a_sweep_file_becomes_overrides_before_the_users(own: str) -> None:
    given = ["seed=1", "sweep=mine", "optimizer.lr=0.1"]
    with hydra_session("train", own):
        overrides = expand_sweep(parse_overrides(given), composer("train"), "train", multirun=True)

    assert lines(overrides) == [
        "hydra/sweeper=budgeted",
        "budget.params=50000",
        "model=model50k",
        "tags=[a,'b c']",
        "optimizer.lr=0.001",
        "hydra.sweeper.n_trials=50",
        "hydra.sweeper.storage=null",
        "hydra.sweeper.study_name=width50k",
        "model.layers.conv1.channels=range(16, 97, step=8)",
        "optimizer=choice(adamw,sgd)",
        "seed=1",
        "optimizer.lr=0.1",
    ]


def test_a_sweep_without_m_is_an_error(own: str, cifar_exp: CifarExp) -> None:
    ended = cifar_exp("train", "--config-dir", own, "sweep=mine")

    assert ended.status == 2
    assert "cifar-exp train -m sweep=mine" in ended.err


def test_a_sweep_with_a_typo_is_an_error(own: str, cifar_exp: CifarExp) -> None:
    ended = cifar_exp("train", "-m", "--config-dir", own, "sweep=minne")

    assert ended.status == 2
    assert "Did you mean 'mine'" in ended.err


@pytest.fixture
def run(cifar_exp: CifarExp, training: FakeTraining) -> str:
    assert cifar_exp("train", "data=synthetic", "model=model2", "seed=3", "hydra.run.dir=run").status == 0
    training.configs.clear()
    training.directories.clear()
    return "run"


def test_resume_takes_config_and_directory_from_the_run(run: str, cifar_exp: CifarExp, training: FakeTraining) -> None:
    kept = Path(run, ".hydra", "config.yaml").read_text()

    ended = cifar_exp("train", f"resume={run}", "trainer.enable_progress_bar=false", "logger.mode=disabled", "seed=3")

    assert ended.status == 0
    (cfg,) = training.configs
    assert training.directories == [Path(run).absolute()]
    assert (cfg.model.name, cfg.seed, cfg.data.name, cfg.resume) == ("model2", 3, "synthetic", run)
    assert (cfg.trainer.enable_progress_bar, cfg.logger.mode) == (False, "disabled")
    assert Path(run, ".hydra", "config.yaml").read_text() == kept


@pytest.mark.parametrize("override", ["seed=4", "model=model3", "trainer.max_epochs=7", "hydra.run.dir=other"])
def test_resume_refuses_what_contradicts_the_run(
    override: str, run: str, cifar_exp: CifarExp, training: FakeTraining
) -> None:
    ended = cifar_exp("train", f"resume={run}", override)

    assert ended.status == 2
    assert override in ended.err
    assert not training.configs
    assert OmegaConf.load(Path(run, ".hydra", "config.yaml")).seed == 3


def test_resume_accepts_the_runs_own_overrides(run: str, cifar_exp: CifarExp, training: FakeTraining) -> None:
    ended = cifar_exp("train", "data=synthetic", "model=model2", "seed=3", "hydra.run.dir=run", f"resume={run}")

    assert ended.status == 0
    assert len(training.configs) == 1


def test_an_error_while_resuming_keeps_the_run(
    run: str, cifar_exp: CifarExp, training: FakeTraining, broken_image: Exception
) -> None:
    training.error = broken_image

    assert cifar_exp("train", f"resume={run}").status == 2
    assert Path(run, ".hydra", "config.yaml").is_file()
