"""The Python API of configs and plans; the commands call the same functions."""

from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import cast

from omegaconf import DictConfig

from cifar_exp.checks import check_train, composer, planned
from cifar_exp.config.compose import hydra_session
from cifar_exp.config.messages import ConfigError, collected
from cifar_exp.config.overrides import parse_overrides
from cifar_exp.config.parse import parse
from cifar_exp.config.schema import TrainConfig
from cifar_exp.errors import UserError
from cifar_exp.files import expanded, nearest_path
from cifar_exp.network.plan import Plan
from cifar_exp.network.planner import plan_network
from cifar_exp.network.spec import ModelSpec
from cifar_exp.runs.saved import load_yaml

_composing = Lock()  # of threads: Hydra's state is one for the process


def compose(overrides: Sequence[str] = (), config_dir: str | Path | None = None) -> TrainConfig:
    """Return the config of a training run, composed and checked as `cifar-exp train` does.

    Args:
        overrides: What would stand on the command line, as in `["model=model2", "data=synthetic"]`.
        config_dir: A directory with the user's own groups, as in `config_dir/model/mine.yaml`.

    Raises:
        UserError: Every error of the overrides and of the config that they make.
    """
    given = [overrides] if isinstance(overrides, str) else overrides
    with _composing, hydra_session("train", config_dir):
        cfg = composer("train").compose(parse_overrides(given))
        return check_train(cfg).config


def plan(
    source: TrainConfig | ModelSpec | str | Path,
    input_shape: tuple[int, int, int] = (3, 32, 32),
    num_classes: int = 10,
) -> Plan:
    """Return the plan of a network: its layers with shapes, parameters, MACs and live memory; `print` shows the table.

    Args:
        source: A config, a model, or the path of a model's YAML file.
        input_shape: (channels, height, width) of one image; a config's own data takes its place.
        num_classes: How many logits there are; a config's own data takes its place.

    Raises:
        UserError: The file is not a model, a value is not valid, shapes do not fit, or a config's budget is exceeded.
    """
    if isinstance(source, TrainConfig):
        return planned(parse(TrainConfig, source.model_dump(warnings=False))).plan
    if len(input_shape) != 3 or min(*input_shape, num_classes) < 1:
        raise UserError(f"expected (channels, height, width) ≥ 1 and classes ≥ 1, got {input_shape} and {num_classes}.")
    if isinstance(source, ModelSpec):  # a copy with other values (`model_copy`) has not been checked
        return plan_network(parse(ModelSpec, source.model_dump(warnings=False)), input_shape, num_classes)
    return plan_network(load_model(expanded(source)), input_shape, num_classes)


def load_model(path: Path) -> ModelSpec:
    """Read a model from a YAML file.

    Raises:
        UserError: The file cannot be read, or it describes no model.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file.{nearest_path(path)}")
    content = load_yaml(path)
    if not isinstance(content, DictConfig):
        raise UserError(f"{path}: expected a model with `name` and `layers`.")
    try:
        (spec,) = collected(lambda: parse(ModelSpec, content))
    except ConfigError as error:
        raise ConfigError([f"{path}: {text}" for text in error.errors]) from None
    return cast(ModelSpec, spec)
