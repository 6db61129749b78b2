"""Composes a command's config with Hydra and reports every error of the overrides in one message."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra import initialize_config_dir, version
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override, OverrideType
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from packaging.version import Version
from pydantic import BaseModel

from cifar_exp.config.composition_errors import COMPOSITION_ERRORS, composition_error, group_options, option_error
from cifar_exp.config.keys import key_hint
from cifar_exp.config.location import conf_dir, users_configs
from cifar_exp.config.messages import ConfigError, unknown_key
from cifar_exp.config.overrides import lines, unknown_layer

LONGEST_NAME = 255  # of a file, and so of a group
_CHOOSE_MODEL = ("model", "experiment", "debug")

Load = Callable[[Sequence[Override]], DictConfig]
Errors = Callable[[DictConfig], list[str]]


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


@dataclass(frozen=True)
class Composer:
    """Compose overrides into the config of one command, within a `hydra_session`.

    Hydra composes the chosen groups, its own settings, and the keys that are removed. The values are set in what it
    returns: a key that no YAML file has yet needs no `+`, and the schema checks all of them alike.
    """

    command: str
    schema: type[BaseModel]  # of its config
    errors: Errors  # what is wrong with a config, besides the overrides that were left out of it
    config_name: str  # of the root config

    @property
    def loader(self) -> ConfigLoader:
        """Hydra's loader of the session's configs."""
        return GlobalHydra.instance().config_loader()

    def options(self, group: str) -> list[str]:
        """Return the options of a config group, the user's own included."""
        return group_options(self.loader, group)

    def compose(self, given: Sequence[Override], multirun: bool = False, load: Load | None = None) -> DictConfig:
        """Compose the config of the user's overrides, Hydra's own node included.

        Args:
            given: the overrides; of a job of a multirun, without those of Hydra's own node.
            multirun: whether some have several values, which this config leaves out.
            load: composes those for Hydra; None: its loader, as for a single run.

        Raises:
            UserError: Every override at fault, and every wrong value of the config that the others make.
        """
        errors = {one.input_line: text for one in given if (text := self._error(one, multirun))}
        rest = [one for one in given if one.input_line not in errors]

        def load_new(some: Sequence[Override]) -> DictConfig:
            mode = RunMode.MULTIRUN if multirun else RunMode.RUN
            return self.loader.load_configuration(self.config_name, [*lines(some), f"hydra.mode={mode.name}"], mode)

        cfg, refused = self._composed([one for one in rest if is_composed(one, self.loader)], load or load_new)
        texts = [*errors.values(), *refused]
        if cfg is not None:
            texts += self._misplaced(cfg)
            texts += set_values(cfg, rest, self.loader)
        if texts or cfg is None:
            raise ConfigError([*texts, *(self.errors(cfg) if cfg is not None else [])])
        return cfg

    def used(self, given: Sequence[Override]) -> list[str]:
        """Return overrides in the form in which Hydra itself accepts them."""
        return [
            str(one.input_line) if is_composed(one, self.loader) else f"++{str(one.input_line).lstrip('+')}"
            for one in given
        ]

    def _misplaced(self, cfg: DictConfig) -> list[str]:
        """Remove what the user's files put in the place of a group or of its keys; return an error for each."""
        fields, choices, errors = self.schema.model_fields, cfg.hydra.runtime.choices, []
        for key in [str(key) for key in cfg if key != "hydra"]:
            if key not in fields and self.options(key):
                errors.append(f"{key}: a file sets keys of the root; let it start with '# @package _global_'.")
            elif key in fields and key in choices and isinstance(name := cfg[key], str):
                errors.append(f"{key}: {name}: a file chooses an option in its defaults: - override /{key}: {name}")
            else:
                continue
            with open_dict(cfg):
                del cfg[key]
        return errors

    def _error(self, override: Override, multirun: bool) -> str | None:
        """Describe an override of an unknown key or option, or with several values without `-m`."""
        line, key = str(override.input_line), override.key_or_group
        if not key:
            return f"'{line}': expected KEY=VALUE."
        if override.is_sweep_override():
            if multirun:
                return None
            key, _, values = line.partition("=")
            hint = f"; for a list write {key}=[{values}]" if "(" not in values else ""
            return f"{line}: several values need -m, which runs each{hint}."
        if len(key) > LONGEST_NAME:
            return f"{key[:40]}…: unknown key."
        is_known = key.partition(".")[0] in self.schema.model_fields or is_composed(override, self.loader)
        return option_error(override, self.loader) if is_known else unknown_key(key, self.schema)

    def _composed(self, given: Sequence[Override], load: Load) -> tuple[DictConfig | None, list[str]]:
        """Return Hydra's config of the overrides that it accepts, if there is one, and an error for each other."""
        errors: dict[str | None, str] = {}
        try:
            return load(given), []
        except COMPOSITION_ERRORS as error:
            reason = composition_error(error)
        try:
            groups = [one for one in given if self.options(one.key_or_group)]
            base, errors = _with_groups(groups, load)
            others = [one for one in given if one not in groups]
            errors |= {one.input_line: text for one in others if (text := _key_error(one, base))}
            return load([one for one in given if one.input_line not in errors]), list(errors.values())
        except COMPOSITION_ERRORS:
            return None, list(errors.values()) or [reason]


def is_composed(override: Override, loader: ConfigLoader) -> bool:
    """Return whether an override is for Hydra to compose: of a group or a setting of its own, or a removal."""
    if override.is_delete() or override.is_hydra_override() or override.package is not None:
        return True
    if override.is_sweep_override() or isinstance(override.value(), dict) or len(override.key_or_group) > LONGEST_NAME:
        return False
    return any(source.is_group(override.key_or_group) for source in loader.get_sources())


def set_values(cfg: DictConfig, overrides: Sequence[Override], loader: ConfigLoader) -> list[str]:
    """Set the values among the overrides in a config which Hydra has composed of the others.

    Returns:
        An error for each value that cannot be set. An unknown layer is one, unless layers differ from job to job.
    """
    errors, has_layers = [], not _sweeps_model(overrides)
    for one in overrides:
        if is_composed(one, loader):
            continue
        error = unknown_layer(one, _names(cfg, "model.layers")) if has_layers else None
        try:
            if one.type is OverrideType.ADD and _has(cfg, one.key_or_group):
                error = f"+{one.key_or_group}: has a value already; leave out the +."
            elif error is None and not one.is_sweep_override():
                value = one.value()
                is_merged = isinstance(value, dict) and OmegaConf.is_dict(OmegaConf.select(cfg, one.key_or_group))
                OmegaConf.update(cfg, one.key_or_group, value, merge=is_merged, force_add=True)
        except OmegaConfBaseException as cause:
            error = f"{one.input_line}: {str(cause).splitlines()[0]}"
        errors += [error] if error else []
    of_task = [one for one in overrides if not one.is_hydra_override()]
    cfg.hydra.overrides.task = lines(of_task)
    dirname = cfg.hydra.job.config.override_dirname
    unnamed = (*dirname.exclude_keys, "resume")  # so that `resume=auto` finds what the command without it has made
    named = sorted(lines(one for one in of_task if one.key_or_group not in unnamed))
    cfg.hydra.job.override_dirname = str(dirname.item_sep.join(named).replace("=", dirname.kv_sep))
    return errors


def _with_groups(groups: Sequence[Override], load: Load) -> tuple[DictConfig, dict[str | None, str]]:
    """Return the config of the groups that can be chosen, and the error of each other; an option may bring a group."""
    try:
        return load(groups), {}
    except COMPOSITION_ERRORS:
        choices = load([]).hydra.runtime.choices
    errors = {one.input_line: text for one in groups if (text := _group_error(one, choices))}
    return load([one for one in groups if one.input_line not in errors]), errors


def _group_error(override: Override, choices: Mapping[str, Any]) -> str | None:
    group, has_default = override.key_or_group, override.key_or_group in choices
    if override.is_add() and has_default:
        return f"+{group}: chosen already; leave out the +."
    if override.type is OverrideType.CHANGE and not has_default:
        return f"{override.input_line}: {group} has no default to replace; write +{override.input_line}."
    return None


def _key_error(override: Override, base: DictConfig) -> str | None:
    """Describe a removal, or an override of Hydra's own node, that cannot be applied to the config of the groups."""
    key = override.key_or_group
    node = key if isinstance(override.value(), dict) else key.rpartition(".")[0]
    if _has(base, node) and OmegaConf.select(base, node) is None:
        return f"{override.input_line}: {node} is null, and gets keys in a file alone."
    if _has(base, key):
        return f"+{key}: has a value already; leave out the +." if override.type is OverrideType.ADD else None
    siblings = [name for name in _names(base, key.rpartition(".")[0]) if name != "hydra"]
    hint = key_hint(key, siblings, list(_keys(OmegaConf.to_container(base, resolve=False, enum_to_str=True))))
    if key.startswith("hydra.sweeper.") and base.hydra.runtime.choices["hydra/sweeper"] == "basic":
        known = ", ".join(siblings)
        hint = f" The basic sweeper has {known}; sweep=NAME or hydra/sweeper=budgeted chooses a search."
    if override.is_delete():
        return f"~{key}: nothing there to remove.{hint}"
    return f"{key}: unknown key.{hint}" if override.type is OverrideType.CHANGE else None


def _has(cfg: DictConfig, key: str) -> bool:
    parent, _, name = key.rpartition(".")
    return name in _names(cfg, parent)


def _names(cfg: DictConfig, key: str) -> list[str]:
    """Return the names below a key, none where it has no mapping."""
    try:
        node = OmegaConf.select(cfg, key) if key else cfg
    except OmegaConfBaseException:  # a list or a broken reference on the way
        return []
    return [str(name) for name in node] if isinstance(node, DictConfig) else []


def _keys(node: Any, prefix: str = "") -> Iterator[str]:
    for name, value in node.items():
        yield f"{prefix}{name}"
        if isinstance(value, Mapping):
            yield from _keys(value, f"{prefix}{name}.")


def _sweeps_model(overrides: Sequence[Override]) -> bool:
    """Return whether the layers differ from job to job."""
    return any(one.is_sweep_override() for one in overrides if one.key_or_group in _CHOOSE_MODEL)
