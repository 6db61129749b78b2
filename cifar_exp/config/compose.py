"""Composes a command's config with Hydra and reports every error of the overrides in one message."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
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
from yaml import MarkedYAMLError, YAMLError
from yaml.reader import ReaderError

from cifar_exp.config.keys import known_there, nearest_key_hint
from cifar_exp.config.location import conf_dir, users_conf_dir, users_configs
from cifar_exp.config.messages import ConfigError, shown
from cifar_exp.config.overrides import is_open, lines, parse_overrides, unknown_layer
from cifar_exp.config.parse import value_errors
from cifar_exp.errors import did_you_mean

COMPOSITION_ERRORS = (
    *(HydraException, OmegaConfBaseException, YAMLError, UnicodeDecodeError, RecursionError),
    AssertionError,  # OmegaConf's, for a key below one that is null
)
LONGEST_NAME = 255  # of a file, and so of a group
PLUGINS = {"joblib": "joblib", "ray": "ray", "submitit_local": "submitit", "submitit_slurm": "submitit"}
_ABSENT = object()
_CHOOSE_MODEL = ("model", "experiment", "debug")

Load = Callable[[Sequence[Override]], tuple[DictConfig, list[str]]]  # a config, and errors of its layers


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
    """Compose overrides into the config of one command, within a `hydra_session`."""

    def __init__(self, command: str, schema: type[BaseModel], config_name: str | None = None) -> None:
        self.command = command
        self.schema = schema
        self.config_name = config_name or command

    @property
    def loader(self) -> ConfigLoader:
        """Hydra's loader of the session's configs."""
        return GlobalHydra.instance().config_loader()

    def options(self, group: str) -> list[str]:
        """Return the options of a config group, the user's own included."""
        return group_options(self.loader, group)

    def compose(
        self, given: Sequence[Override], multirun: bool = False, master: DictConfig | None = None
    ) -> DictConfig:
        """Compose the config of the user's overrides, Hydra's own node included.

        Args:
            given: the overrides; of a job, without those of Hydra's own node, which are the master's.
            multirun: whether some have several values, which this config leaves out.
            master: the config of the multirun that the job belongs to.

        Raises:
            UserError: Every override at fault, and every wrong value of the config that the others make.
        """
        errors = {one.input_line: text for one in given if (text := self._choice_error(one, multirun))}
        rest = [one for one in given if one.input_line not in errors]
        load = partial(self._load, mode=RunMode.MULTIRUN if multirun else RunMode.RUN, master=master)
        texts = list(errors.values())
        cfg: DictConfig | None
        try:
            cfg, found = load(rest)
        except COMPOSITION_ERRORS as error:
            cfg, found = self._diagnosed(rest, load, error)
        texts += found
        if texts or cfg is None:
            raise ConfigError([*texts, *(value_errors(self.schema, cfg) if cfg is not None else [])])
        return cfg

    def used(self, cfg: DictConfig) -> list[str]:
        """Return the overrides that a config was composed with, in the form in which Hydra accepts them."""
        kept = cfg.hydra.overrides
        parts = [OmegaConf.to_container(one, resolve=False) for one in (kept.hydra, kept.task)]
        used = parse_overrides(str(line) for part in parts for line in part or ())
        return [f"++{one.input_line}" if is_open(one, self.command) else str(one.input_line) for one in used]

    def _load(
        self, overrides: Sequence[Override], mode: RunMode, master: DictConfig | None = None
    ) -> tuple[DictConfig, list[str]]:
        """Return the config and an error for each layer that does not exist."""
        if master is not None:
            return load_job(self.loader, master, overrides, self.command)
        given = [*closed(overrides, self.command), f"hydra.mode={mode.name}"]
        cfg = self.loader.load_configuration(config_name=self.config_name, overrides=given, run_mode=mode)
        return cfg, apply_open(cfg, overrides, self.command)

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
        if len(group) > LONGEST_NAME:
            return f"{group[:40]}…: unknown key."
        options = [] if override.is_delete() or isinstance(value, dict) else self.options(group)
        if not options:
            return None
        names = value if isinstance(value, list) else [value]
        if not all(isinstance(name, str) for name in names):
            return f"{line}: expected the name of an option.\nOptions of {group}: {', '.join(options)}."
        unknown = [str(name) for name in names if name not in options and "${" not in str(name)]
        return _no_option(line.lstrip("+"), group, unknown[0], options) if unknown else None

    def _diagnosed(
        self, given: Sequence[Override], load: Load, error: Exception
    ) -> tuple[DictConfig | None, list[str]]:
        """Compose what Hydra refused: without the overrides at fault, which are returned as texts, all others forced.

        A key of the schema that no YAML file has yet is thereby set, and an unknown one is left to the schema.
        """
        errors: dict[str | None, str] = {}
        try:
            choices = load([])[0].hydra.runtime.choices
            groups = [one for one in given if self.options(one.key_or_group)]
            errors |= {one.input_line: text for one in groups if (text := _group_error(one, choices))}
            chosen = [one for one in groups if one.input_line not in errors]
            base = _plain(load(chosen)[0])
            values = [one for one in given if one not in groups]
            errors |= {one.input_line: text for one in values if (text := self._key_error(one, base))}
            kept = [one for one in values if one.input_line not in errors]
            forced = [one if is_open(one, self.command) else _forced(one) for one in kept]
            cfg, of_layers = load([*chosen, *forced])
            return cfg, [*errors.values(), *of_layers]
        except COMPOSITION_ERRORS:
            return None, list(errors.values()) or [composition_error(error)]

    def _key_error(self, override: Override, base: Mapping[str, Any]) -> str | None:
        """Describe an override of a value that cannot be applied to the config of the chosen groups."""
        key, there = override.key_or_group, _value_at(base, override.key_or_group)
        exists = there is not _ABSENT
        if override.type is OverrideType.ADD and exists:
            return f"+{key}: has a value already; leave out the +."
        kinds = {dict: "a mapping of keys to values", list: "a list"}
        value = override.value()
        if {type(there), type(value)} == set(kinds):
            return f"{key}: expected {kinds[type(there)]}, got {shown(value)}."
        is_known = override.is_hydra_override() or key.partition(".")[0] in self.schema.model_fields
        if exists or (is_known and not override.is_delete() and override.type is not OverrideType.CHANGE):
            return None
        known = list(_keys(base))
        hint = nearest_key_hint(key, known) or known_there(key, known)
        if override.is_delete():
            return f"~{key}: nothing there to remove.{hint}"
        return f"{key}: unknown key.{hint}" if override.is_hydra_override() or not is_known else None


def closed(overrides: Sequence[Override], command: str) -> list[str]:
    """Return the overrides that Hydra composes a config of; `apply_open` applies the others."""
    return lines(one for one in overrides if not is_open(one, command))


def apply_open(cfg: DictConfig, overrides: Sequence[Override], command: str) -> list[str]:
    """Set the fields that an entry need not have in a config which Hydra has composed of the other overrides.

    Returns:
        An error for each layer that does not exist, unless the layers differ from job to job.
    """
    opened = [one for one in overrides if is_open(one, command)]
    if not opened:
        return []
    errors, layers = [], OmegaConf.select(cfg, "model.layers")
    has_layers = isinstance(layers, DictConfig) and not _sweeps_model(overrides)
    for one in opened:
        error = unknown_layer(one, list(layers)) if has_layers else None
        if error is not None:
            errors.append(error)
        elif not one.is_sweep_override():
            OmegaConf.update(cfg, one.key_or_group, one.value(), merge=True, force_add=True)
    of_task = [one for one in overrides if not one.is_hydra_override()]
    cfg.hydra.overrides.task = lines(of_task)
    cfg.hydra.job.override_dirname = override_dirname(cfg, of_task)
    return errors


def override_dirname(cfg: DictConfig, overrides: Sequence[Override]) -> str:
    """Return Hydra's name of a directory that contains the overrides, which are none of Hydra's own node."""
    settings = cfg.hydra.job.config.override_dirname
    named = sorted(lines(one for one in overrides if one.key_or_group not in settings.exclude_keys))
    return str(settings.item_sep.join(named).replace("=", settings.kv_sep))


def load_job(
    loader: ConfigLoader, master: DictConfig, overrides: Sequence[Override], command: str
) -> tuple[DictConfig, list[str]]:
    """Return the config of a job of a multirun, and an error for each layer that does not exist.

    Args:
        loader: Hydra's own.
        master: the config of the multirun.
        overrides: of the job.
        command: the command that the job runs.
    """
    cfg = loader.load_sweep_config(master, closed(overrides, command))
    return cfg, apply_open(cfg, overrides, command)


def group_options(loader: ConfigLoader, group: str) -> list[str]:
    """Return the options of a config group. (Hydra's loader would copy its whole repository for the same.)"""
    sources = [source for source in loader.get_sources() if source.is_group(group)]
    return sorted({name for source in sources for name in source.list(group, ObjectType.CONFIG)})


def composition_error(error: Exception) -> str:
    """Describe why Hydra could not compose a config."""
    if isinstance(error, MarkedYAMLError):
        mark = error.problem_mark
        where = f"{mark.name}, line {mark.line + 1}" if mark else "A config"
        return f"{where}: not valid YAML: {error.problem}."
    if isinstance(error, ReaderError):
        return f"{error.name}: not a text file ({error.reason})."
    if isinstance(error, UnicodeDecodeError):
        return f"{_undecodable() or 'A chosen config file'}: not UTF-8 text ({error.reason})."
    if isinstance(error, RecursionError):
        return "A chosen config file contains a value within itself (*anchor below its &anchor)."
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, option = str(error.missing_cfg_file).rpartition("/")
        if not group:
            return f"No config '{option}' in the config directories."
        known = group_options(GlobalHydra.instance().config_loader(), group)
        return _no_option(f"{group}={option}", group, option, known)
    message = "\n".join(line.strip() for line in str(error).splitlines()[:4])
    cause = next(iter(str(error.__cause__ or "").splitlines()), "")  # why an override cannot be merged
    return ": ".join(part for part in (message, cause) if part) or "does not fit"


def _undecodable() -> Path | None:
    """Return a file of the user's configs that is not UTF-8 text; a UnicodeDecodeError names none."""
    users = users_conf_dir()
    for file in users.rglob("*.yaml") if users is not None else ():
        try:
            file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            return file
    return None


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


def _forced(override: Override) -> Override:
    if override.is_delete() or override.is_hydra_override():
        return override
    return parse_overrides([f"++{str(override.input_line).lstrip('+')}"])[0]


def _plain(cfg: DictConfig) -> dict[str, Any]:
    values = OmegaConf.to_container(cfg, resolve=False, enum_to_str=True)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def _value_at(node: Any, key: str) -> Any:
    for part in key.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return _ABSENT
        node = node[part]
    return node


def _keys(node: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in node.items():
        yield f"{prefix}{name}"
        if isinstance(value, Mapping):
            yield from _keys(value, f"{prefix}{name}.")


def _sweeps_model(overrides: Sequence[Override]) -> bool:
    """Return whether the layers differ from job to job."""
    return any(one.is_sweep_override() for one in overrides if one.key_or_group in _CHOOSE_MODEL)
