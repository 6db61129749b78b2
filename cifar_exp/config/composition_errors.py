"""Why Hydra cannot compose a config, in the user's terms: a file that is no YAML, an option that no group has."""

from collections.abc import Sequence
from pathlib import Path

from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, MissingConfigException
from hydra.plugins.config_source import ConfigLoadError
from omegaconf.errors import OmegaConfBaseException
from yaml import MarkedYAMLError, YAMLError
from yaml.reader import ReaderError

from cifar_exp.config.location import users_conf_dir
from cifar_exp.errors import UserError, did_you_mean

COMPOSITION_ERRORS = (
    *(HydraException, OmegaConfBaseException, YAMLError, UnicodeDecodeError, RecursionError),
    *(AssertionError, AttributeError),  # OmegaConf's, for a key below one that is null, and for a mapping in its place
)
PLUGINS = {"joblib": "joblib", "ray": "ray", "submitit_local": "submitit", "submitit_slurm": "submitit"}


def group_options(loader: ConfigLoader, group: str) -> list[str]:
    """Return the options of a config group. (Hydra's loader would copy its whole repository for the same.)

    Raises:
        UserError: a file that ends in `.yml`, which Hydra refuses from version 1.4 on.
    """
    sources = [source for source in loader.get_sources() if source.is_group(group)]
    try:
        return sorted({name for source in sources for name in source.list(group, ObjectType.CONFIG)})
    except ConfigLoadError as error:
        raise UserError(f"{group}: {error}") from None


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
        return "A config file contains itself in its defaults, or a value within itself (*anchor below its &anchor)."
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, option = str(error.missing_cfg_file).rpartition("/")
        if not group:
            return f"No config '{option}' in the config directories."
        known = group_options(GlobalHydra.instance().config_loader(), group)
        return no_option(group, option, known)
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


def option_error(override: Override, loader: ConfigLoader) -> str | None:
    """Describe what is wrong with an override that chooses options of a group, if it is one and anything is."""
    key, value = override.key_or_group, override.value()
    options = [] if override.is_delete() or isinstance(value, dict) else group_options(loader, key)
    names = value if isinstance(value, list) else [value]
    if options and not all(isinstance(name, str) for name in names):
        return f"{override.input_line}: expected the name of an option.\nOptions of {key}: {', '.join(options)}."
    others = [str(name) for name in names if options and name not in options and "${" not in str(name)]
    sources = loader.get_sources() if others else []
    unknown = [name for name in others if not any(source.is_config(f"{key}/{name}") for source in sources)]
    return no_option(key, unknown[0], options) if unknown else None


def no_option(group: str, option: str, options: Sequence[str]) -> str:
    """Return the error of choosing an option which a group does not have."""
    hint = did_you_mean(option, options)
    users = users_conf_dir()
    if users is not None and (file := users / group / f"{option}.yml").is_file():
        hint = f" Hydra reads .yaml files alone; rename {file}."
    elif group == "hydra/launcher" and option in PLUGINS:
        hint = f" Its plugin is not installed: pip install 'cifar-exp[{PLUGINS[option]}]'"
    listed = f"\nOptions of {group}: {', '.join(options)}." if options else ""
    return f"{group}={option}: no such option.{hint}{listed}"
