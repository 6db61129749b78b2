"""Composes a command's config with Hydra, and says every mistake found on the way in the user's words."""

from collections.abc import Sequence
from typing import Any

from hydra._internal.hydra import Hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from cifar_exp.checks import SCHEMAS
from cifar_exp.cli.hydra_messages import Mistake, explain, is_users
from cifar_exp.config.keys import known_there, nearest_key_hint
from cifar_exp.config.messages import ConfigError, listing
from cifar_exp.config.overrides import open_up, parse_overrides, unknown_layers
from cifar_exp.config.parse import parse
from cifar_exp.errors import UserError

_CHOOSE_MODEL = ("model", "experiment", "debug")


class Composer:
    """Turns overrides into configs, for one command and one search path of configs."""

    def __init__(self, hydra: Hydra, config_name: str, command: str) -> None:
        self.hydra = hydra
        self.config_name = config_name
        self.command = command
        self._layers: dict[tuple[str, ...], list[str]] = {}

    def compose(self, given: Sequence[str], multirun: bool = False) -> DictConfig:
        """The config that the user's overrides make, Hydra's own node included.

        Raises UserError with every override that is at fault.
        """
        parse_overrides(given)
        mode = RunMode.MULTIRUN if multirun else RunMode.RUN
        cfg, mistakes = self._without_faults(self.opened(given), mode)
        texts = [self._text(mistake, cfg) for mistake in mistakes]
        if not mistakes and _names_layers(given) and not _sweeps_model(given):
            texts += unknown_layers(given, self._base_layers(given))
        if texts or cfg is None:
            raise UserError(listing([*texts, *(self._wrong_values(cfg) if cfg is not None else [])]))
        return cfg

    def _wrong_values(self, cfg: DictConfig) -> list[str]:
        """What else is wrong, so that it is told at once."""
        HydraConfig.instance().set_config(cfg)
        try:
            parse(SCHEMAS[self.command], cfg, required=False)
        except ConfigError as errors:
            return list(errors.errors)
        except UserError:
            pass
        return []

    def opened(self, given: Sequence[str]) -> list[str]:
        """`given` in the form that Hydra itself accepts."""
        return open_up(given, self.command)

    def _without_faults(self, overrides: list[str], mode: RunMode) -> tuple[DictConfig | None, list[Mistake]]:
        """The config without the overrides at fault, None if it cannot be made, and the faults."""
        mistakes: list[Mistake] = []
        while True:
            try:
                return self._compose(overrides, mode), mistakes
            except Exception as error:
                if not is_users(error):
                    raise
                mistake = explain(error, overrides, self.options)
                mistakes.append(mistake)
                if mistake.override not in overrides:
                    return None, mistakes
                overrides = [override for override in overrides if override != mistake.override]

    def _compose(self, overrides: Sequence[str], mode: RunMode) -> DictConfig:
        return self.hydra.compose_config(
            config_name=self.config_name,
            overrides=[*overrides, f"hydra.mode={mode.name}"],
            run_mode=mode,
        )

    def options(self, group: str) -> list[str]:
        """The options of a config group, the user's own included."""
        return list(self.hydra.config_loader.get_group_options(group, ObjectType.CONFIG))

    def _text(self, mistake: Mistake, cfg: DictConfig | None) -> str:
        if mistake.unknown_key is None:
            return mistake.text
        key = mistake.unknown_key
        known = [*self.hydra.config_loader.list_groups(""), *(_keys(cfg) if cfg is not None else [])]
        return mistake.text + (nearest_key_hint(key, known) or known_there(key, known))

    def _base_layers(self, given: Sequence[str]) -> list[str]:
        """The layers that the chosen model has of itself."""
        others = tuple(one for one in given if not one.lstrip("+~").startswith("model."))
        if others not in self._layers:
            cfg = self._compose(others, RunMode.MULTIRUN)
            layers = OmegaConf.select(cfg, "model.layers")
            self._layers[others] = [str(name) for name in layers] if isinstance(layers, DictConfig) else []
        return self._layers[others]


def _names_layers(overrides: Sequence[str]) -> bool:
    return any(override.startswith("model.layers.") for override in overrides)


def _sweeps_model(overrides: Sequence[str]) -> bool:
    """Whether which layers there are differs from job to job."""
    return any(one.is_sweep_override() for one in parse_overrides(overrides) if one.key_or_group in _CHOOSE_MODEL)


def _keys(node: Any, prefix: str = "") -> list[str]:
    """Every dotted key of a config."""
    if not isinstance(node, DictConfig) or node._is_none() or node._is_missing():
        return []
    values = [(str(name), value) for name, value in node.items_ex(resolve=False)]
    return [key for name, value in values for key in (f"{prefix}{name}", *_keys(value, f"{prefix}{name}."))]
