"""Composes a command's config with Hydra and reports every error of the overrides in one message."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra import initialize_config_dir, version
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException, MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from packaging.version import Version
from pydantic import BaseModel
from yaml import MarkedYAMLError

from cifar_exp.config.keys import known_there, nearest_key_hint
from cifar_exp.config.location import conf_dir, users_conf_dir, users_configs
from cifar_exp.config.messages import ConfigError
from cifar_exp.config.overrides import open_up, parse_overrides, unknown_layers
from cifar_exp.config.parse import value_errors
from cifar_exp.errors import did_you_mean

COMPOSITION_ERRORS = (HydraException, OmegaConfBaseException, MarkedYAMLError, UnicodeDecodeError)
PLUGINS = {"joblib": "joblib", "ray": "ray", "submitit_local": "submitit", "submitit_slurm": "submitit"}
_CHOOSE_MODEL = ("model", "experiment", "debug")


@contextmanager
def hydra_session(
    job: str, config_dir: str | Path | None = None, config_path: str | Path | None = None
) -> Iterator[None]:
    """Initialize Hydra on the configs of `config_dir` and the shipped ones; an outer Hydra application stays as it was.

    Args:
        job: the job's name, unless its config has one.
        config_dir: a directory with the user's own groups, which precede the shipped ones.
        config_path: what replaces the shipped configs.

    Raises:
        UserError: `config_dir` does not exist.
    """
    outer, outer_config, base = GlobalHydra.instance().hydra, HydraConfig.instance().cfg, version.getbase()
    GlobalHydra.instance().clear()
    try:
        with (
            users_configs(config_dir),
            initialize_config_dir(str(Path(config_path or conf_dir()).absolute()), job_name=job, version_base="1.3"),
        ):
            yield
    finally:
        GlobalHydra.instance().hydra = outer
        HydraConfig.instance().cfg = outer_config
        if isinstance(base, Version):  # else none has been set yet
            version.setbase(str(base))


class Composer:
    """Turns overrides into the config of one command, within a `hydra_session`."""

    def __init__(self, command: str, schema: type[BaseModel], config_name: str | None = None) -> None:
        self.command = command
        self.schema = schema
        self.config_name = config_name or command
        self._layers: dict[tuple[str, ...], list[str]] = {}

    @property
    def loader(self) -> ConfigLoader:
        """Hydra's loader of the session's configs."""
        return GlobalHydra.instance().config_loader()

    def options(self, group: str) -> list[str]:
        """Return the options of a config group, the user's own included."""
        return list(self.loader.get_group_options(group, ObjectType.CONFIG))

    def compose(self, given: Sequence[str], multirun: bool = False) -> DictConfig:
        """Compose the config of the user's overrides, Hydra's own node included.

        Raises:
            UserError: Every override at fault, and every wrong value of the config that the others make.
        """
        parsed = parse_overrides(given)
        errors = {one.input_line: text for one in parsed if (text := self._choice_error(one, multirun))}
        rest = [str(one.input_line) for one in parsed if one.input_line not in errors]
        texts = list(errors.values())
        mode = RunMode.MULTIRUN if multirun else RunMode.RUN
        try:
            cfg: DictConfig | None = self._load(open_up(rest, self.command), mode)
            texts += self._layer_errors(rest)
        except COMPOSITION_ERRORS as error:
            cfg, found = self._diagnosed(parse_overrides(rest), mode, error)
            texts += found
        if texts or cfg is None:
            raise ConfigError([*texts, *(value_errors(self.schema, cfg) if cfg is not None else [])])
        return cfg

    @staticmethod
    def used(cfg: DictConfig) -> list[str]:
        """Return the overrides that a config was composed with, in the form in which Hydra accepts them."""
        kept = cfg.hydra.overrides
        parts = [OmegaConf.to_container(one, resolve=False) for one in (kept.hydra, kept.task)]
        return [str(line) for part in parts for line in part or ()]

    def _load(self, overrides: Sequence[str], mode: RunMode) -> DictConfig:
        return self.loader.load_configuration(
            config_name=self.config_name, overrides=[*overrides, f"hydra.mode={mode.name}"], run_mode=mode
        )

    def _choice_error(self, override: Override, multirun: bool) -> str | None:
        """Describe an override that chooses no option of its group, or several values without `-m`."""
        line = str(override.input_line)
        if override.is_sweep_override():
            if multirun:
                return None
            key, _, values = line.partition("=")
            hint = f"; for a list write {key}=[{values}]" if "(" not in values else ""
            return f"{line}: several values need -m, which runs each{hint}."
        group, value = override.key_or_group, override.value()
        options = [] if override.is_delete() or isinstance(value, dict | None) else self.options(group)
        if not options:
            return None
        names = value if isinstance(value, list) else [value]
        if not all(isinstance(name, str) for name in names):
            return f"{line}: expected the name of an option."
        unknown = [str(name) for name in names if name not in options and "${" not in str(name)]
        return _no_option(line.lstrip("+"), group, unknown[0], options) if unknown else None

    def _diagnosed(
        self, parsed: Sequence[Override], mode: RunMode, error: Exception
    ) -> tuple[DictConfig | None, list[str]]:
        """Compose what Hydra refused: without the overrides at fault, which are returned as texts, all others forced.

        A key of the schema that no YAML file has yet is thereby set, and an unknown one is left to the schema.
        """
        errors: dict[str | None, str] = {}
        try:
            choices = self._load([], mode).hydra.runtime.choices
            groups = [one for one in parsed if self.options(one.key_or_group)]
            errors |= {one.input_line: text for one in groups if (text := _group_error(one, choices))}
            chosen = [str(one.input_line) for one in groups if one.input_line not in errors]
            base = _plain(self._load(chosen, mode))
            values = [one for one in parsed if one not in groups]
            errors |= {one.input_line: text for one in values if (text := self._key_error(one, base))}
            forced = [_forced(one) for one in values if one.input_line not in errors]
            return self._load([*chosen, *forced], mode), list(errors.values())
        except COMPOSITION_ERRORS:
            return None, list(errors.values()) or [composition_error(error)]

    def _key_error(self, override: Override, base: Mapping[str, Any]) -> str | None:
        """Describe an override of a value that cannot be applied to the config of the chosen groups."""
        key, exists = override.key_or_group, _exists(base, override.key_or_group)
        if override.type is OverrideType.ADD and exists:
            return f"+{key}: has a value already; leave out the +."
        is_known = override.is_hydra_override() or key.partition(".")[0] in self.schema.model_fields
        if exists or (is_known and not override.is_delete() and override.type is not OverrideType.CHANGE):
            return None
        known = [*_keys(base)]
        hint = nearest_key_hint(key, known) or known_there(key, known)
        if override.is_delete():
            return f"~{key}: nothing there to remove.{hint}"
        return f"{key}: unknown key.{hint}" if override.is_hydra_override() or not is_known else None

    def _layer_errors(self, given: Sequence[str]) -> list[str]:
        if not any(one.startswith("model.layers.") for one in given) or _sweeps_model(given):
            return []
        others = tuple(one for one in given if not one.lstrip("+~").startswith("model."))
        if others not in self._layers:
            layers = OmegaConf.select(self._load(others, RunMode.MULTIRUN), "model.layers")
            self._layers[others] = [str(name) for name in layers] if isinstance(layers, DictConfig) else []
        return unknown_layers(given, self._layers[others])


def composition_error(error: Exception) -> str:
    """Describe why Hydra could not compose a config."""
    if isinstance(error, MarkedYAMLError):
        mark = error.problem_mark
        where = f"{mark.name}, line {mark.line + 1}" if mark else "A config"
        return f"{where}: not valid YAML: {error.problem}."
    if isinstance(error, UnicodeDecodeError):
        return f"A chosen config file is not UTF-8 text: {error.reason}."
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, option = str(error.missing_cfg_file).rpartition("/")
        if not group:
            return f"No config '{option}' in the config directories."
        known = list(GlobalHydra.instance().config_loader().get_group_options(group, ObjectType.CONFIG))
        return _no_option(f"{group}={option}", group, option, known)
    text = str(error) or str(error.__cause__ or "does not fit")
    return "\n".join(line.strip() for line in text.splitlines()[:4])


def _no_option(line: str, group: str, option: str, options: Sequence[str]) -> str:
    hint = did_you_mean(option, options)
    users = users_conf_dir()
    if users is not None and (file := users / group / f"{option}.yml").is_file():
        hint = f" Hydra reads .yaml files alone; rename {file}."
    elif group == "hydra/launcher" and option in PLUGINS:
        hint = f" Its plugin is not installed: pip install 'cifar-exp[{PLUGINS[option]}]'"
    listed = f"\nOptions of {group}: {', '.join(options)}." if options else ""
    return f"{line}: no such option.{hint}{listed}"


def _group_error(override: Override, choices: Mapping[str, Any]) -> str | None:
    group, has_default = override.key_or_group, override.key_or_group in choices
    if override.is_add() and has_default:
        return f"+{group}: chosen already; leave out the +."
    if override.type is OverrideType.CHANGE and not has_default:
        return f"{override.input_line}: {group} has no default to replace; write +{override.input_line}."
    return None


def _forced(override: Override) -> str:
    line = str(override.input_line)
    return line if override.is_delete() or override.is_hydra_override() else f"++{line.lstrip('+')}"


def _plain(cfg: DictConfig) -> dict[str, Any]:
    values = OmegaConf.to_container(cfg, resolve=False, enum_to_str=True)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def _exists(node: Any, key: str) -> bool:
    for part in key.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return False
        node = node[part]
    return True


def _keys(node: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in node.items():
        yield f"{prefix}{name}"
        if isinstance(value, Mapping):
            yield from _keys(value, f"{prefix}{name}.")


def _sweeps_model(overrides: Sequence[str]) -> bool:
    """Return whether the layers differ from job to job."""
    return any(one.is_sweep_override() for one in parse_overrides(overrides) if one.key_or_group in _CHOOSE_MODEL)
