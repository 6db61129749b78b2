"""The configs of trials: Hydra composes one for each choice of groups, into copies of which the values are put.

To compose a config takes a third of a second, most of it for reading YAML; to copy one takes a tenth of that.
"""

from collections.abc import Sequence
from copy import deepcopy
from functools import lru_cache

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf, open_dict

from cifar_exp.config.compose import override_dirname
from cifar_exp.config.composition_errors import COMPOSITION_ERRORS, composition_error
from cifar_exp.config.overrides import lines, parse_overrides
from cifar_exp.errors import UserError

TEMPLATES = 16  # composed configs that are kept

Structure = tuple[str, ...]


class TrialConfigs:
    """Compose what `ConfigLoader.load_sweep_config` would, Hydra's own node included.

    Args:
        loader: Hydra's loader.
        base: the config of the sweep.
    """

    def __init__(self, loader: ConfigLoader, base: DictConfig) -> None:
        self._loader = loader
        self._base = base
        self._groups = frozenset(loader.list_groups(""))
        self._templates: dict[Structure, DictConfig] = {}

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """Return the config of a trial.

        Raises:
            UserError: overrides that do not fit the config.
        """
        try:
            parsed = [_parsed(line) for line in overrides]
            structure = self._structure(parsed)
            if structure is None:
                return self._composed(overrides)
            if structure not in self._templates:
                if len(self._templates) >= TEMPLATES:
                    self._templates.pop(next(iter(self._templates)))  # the oldest
                self._templates[structure] = self._composed(overrides)
            return self._copied(self._templates[structure], parsed)
        except COMPOSITION_ERRORS as error:
            raise UserError(composition_error(error)) from None

    def _composed(self, overrides: Sequence[str]) -> DictConfig:
        return self._loader.load_sweep_config(self._base, list(overrides))

    def _structure(self, overrides: Sequence[Override]) -> Structure | None:
        """Return the choices of groups and the keys of all values; None where a key is deleted."""
        if any(one.is_delete() for one in overrides):
            return None
        return tuple(
            str(one.input_line) if self._is_group(one) else f"{one.get_key_element()}{_keys(one.value())}"
            for one in overrides
        )

    def _is_group(self, override: Override) -> bool:
        return override.package is not None or "/" in override.key_or_group or override.key_or_group in self._groups

    def _copied(self, template: DictConfig, overrides: Sequence[Override]) -> DictConfig:
        cfg = deepcopy(template)
        for one in overrides:
            if not self._is_group(one):
                OmegaConf.update(cfg, one.key_or_group, one.value(), merge=True, force_add=True)
        given = OmegaConf.to_container(self._base.hydra.overrides.hydra, resolve=False) or ()
        own = [one for one in overrides if not one.is_hydra_override()]
        hydras = [one for one in overrides if one.is_hydra_override()]
        with open_dict(cfg):
            cfg.hydra.overrides.task = lines(own)
            cfg.hydra.overrides.hydra = [*given, *lines(hydras)]
            cfg.hydra.job.override_dirname = override_dirname(cfg, own)
        OmegaConf.copy_cache(from_config=self._base, to_config=cfg)
        return cfg


def _keys(value: object) -> str:
    """Return the keys of a mapping, which is merged into what is there; nothing for any other value."""
    return "{" + ",".join(f"{key}{_keys(one)}" for key, one in value.items()) + "}" if isinstance(value, dict) else ""


@lru_cache(maxsize=1024)
def _parsed(line: str) -> Override:
    return parse_overrides([line])[0]
