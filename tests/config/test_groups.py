"""Every file that can be chosen composes, and the schema accepts it."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from cifar_exp.checks import SCHEMAS
from cifar_exp.cli.entry import COMMANDS
from cifar_exp.config.keys import Keys
from cifar_exp.config.location import conf_dir
from cifar_exp.config.parse import parse
from cifar_exp.config.schema import TrainConfig

FILES = sorted(path.relative_to(conf_dir()) for path in conf_dir().rglob("*.yaml"))
OPTIONS = [path.with_suffix("") for path in FILES if path.parts[0] not in ("hydra", "sweep") and len(path.parts) > 1]


def composed(command: str, *overrides: str) -> DictConfig:
    with initialize_config_dir(str(conf_dir()), version_base="1.3", job_name=command):
        return compose(command, overrides=list(overrides))


@pytest.mark.parametrize("option", OPTIONS, ids=str)
def test_every_option_of_every_group_passes_the_schema(option: Path) -> None:
    cfg = composed("train", f"{option.parent}={option.name}")

    config = parse(TrainConfig, cfg)

    if option.parts[0] in ("data", "optimizer", "scheduler", "augment", "model"):
        assert getattr(config, option.parts[0]).name == option.name


@pytest.mark.parametrize("file", FILES, ids=str)
def test_every_file_starts_by_saying_what_it_is(file: Path) -> None:
    lines = [line for line in (conf_dir() / file).read_text().splitlines() if not line.startswith("# @package")]
    assert lines[0].startswith("# ")
    assert len(lines[0]) > 20


@pytest.mark.parametrize("command", ["train", "summary"])
def test_a_command_without_mandatory_keys_passes_as_it_is(command: str) -> None:
    parse(SCHEMAS[command], composed(command))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_key_of_a_command_stands_in_its_yaml(command: str) -> None:
    """So that it can be overridden without `+`."""
    schema = SCHEMAS[command]
    written = OmegaConf.to_container(composed(command))
    assert isinstance(written, dict)
    absent = set(schema.model_fields) - set(written)
    assert absent <= {"data"}  # of eval: its group may be left unchosen


@pytest.mark.parametrize("group", ["optimizer", "scheduler", "trainer", "callbacks", "logger", "loss", "budget"])
def test_every_key_of_a_group_stands_in_its_yaml(group: str) -> None:
    written = OmegaConf.to_container(composed("train")[group])
    assert isinstance(written, dict)
    if group in ("optimizer", "scheduler"):
        known = Keys(TrainConfig).names((group, written["name"]))
    else:
        known = [key for key in Keys(TrainConfig).names((group,)) if "." not in key]
    assert set(written) == set(known)


def test_the_checked_config_is_the_composed_one() -> None:
    cfg = composed("train", "optimizer.lr=1", "trainer.max_epochs=3", "callbacks.ema.decay=0.99")

    config = parse(TrainConfig, cfg)

    assert (config.optimizer.lr, config.trainer.max_epochs, config.callbacks.ema.decay) == (1.0, 3, 0.99)
    assert config.name == config.model.name == "model3"
