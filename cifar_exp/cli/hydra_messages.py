"""The words for what Hydra and OmegaConf find wrong while they compose a config."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException
from omegaconf.errors import OmegaConfBaseException
from yaml import MarkedYAMLError

from cifar_exp.errors import did_you_mean

Options = Callable[[str], Sequence[str]]  # the options of a group

_UNKNOWN_KEY = re.compile(r"Could not override '([^']+)'")
_EXISTS = re.compile(r"An item is already at '([^']+)'")
_NOT_MERGED = re.compile(r"Error merging override (.+)")
_AMBIGUOUS = re.compile(r"Ambiguous value for argument '(.+)'")
_NEEDS_MULTIRUN = re.compile(r"Sweep parameters '(.+)' requires --multirun")
_NOT_DELETED = re.compile(r"Could not delete (?:from config\. )?'([^']+)'")
_TWICE = re.compile(r"Multiple values for ([\w/]+)\.|^([\w/]+) appears more than once")
_NO_GROUP = re.compile(r"Override (\S+) looks like a config group")


@dataclass(frozen=True)
class Mistake:
    """What is wrong, and the override to blame, if it is one."""

    text: str
    override: str | None = None  # as it stands on the command line
    unknown_key: str | None = None  # a key to look for a near one of, once all keys are known


def is_users(error: BaseException) -> bool:
    """Whether `error`, raised while composing, can be mended by the user."""
    return isinstance(error, HydraException | OmegaConfBaseException | MarkedYAMLError | UnicodeDecodeError) or (
        isinstance(error, ValueError) and str(error).startswith("Config group override must be")
    )


def explain(error: Exception, overrides: Sequence[str], options: Options) -> Mistake:
    """What the user did that made Hydra raise `error` over `overrides`."""
    if isinstance(error, MarkedYAMLError):
        where = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        name = error.problem_mark.name if error.problem_mark else "a config"
        return Mistake(f"{name}{where}: not valid YAML: {error.problem}.")
    if isinstance(error, UnicodeDecodeError):
        return Mistake(f"A chosen config file is not UTF-8 text: {error.reason}.")
    if isinstance(error, ValueError):
        culprit = next((one for one in overrides if _is_no_option(one, options)), None)
        return Mistake(f"{culprit or error}: expected the name of an option.", culprit)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        return _missing_option(error, overrides, options)
    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else None
    return _from_text(str(error), cause, overrides)


def _missing_option(error: MissingConfigException, overrides: Sequence[str], options: Options) -> Mistake:
    group, _, option = str(error.missing_cfg_file).rpartition("/")
    if not group:
        return Mistake(f"No config '{option}' in the config directories.")
    known = options(group)
    culprit = _find(group, overrides)
    given = culprit.lstrip("+") if culprit else f"{group}={option}"
    listed = f"\nOptions of {group}: {', '.join(known)}." if known else ""
    return Mistake(f"{given}: no such option.{did_you_mean(option, known)}{listed}", culprit)


def _from_text(text: str, cause: Exception | None, overrides: Sequence[str]) -> Mistake:
    if match := _UNKNOWN_KEY.search(text):
        where = f"{parent[1]}: " if (parent := re.match(r"In '([^']+)'", text)) else ""
        return Mistake(f"{where}{match[1]}: unknown key.", _find(match[1], overrides), unknown_key=match[1])
    if match := _EXISTS.search(text):
        return Mistake(f"+{match[1]}: has a value already; leave out the +.", _find(match[1], overrides))
    if match := _NOT_DELETED.search(text):
        key = match[1].split("=")[0]
        return Mistake(f"~{key}: nothing there to remove.", _find(key, overrides), unknown_key=key)
    if match := _AMBIGUOUS.search(text) or _NEEDS_MULTIRUN.search(text):
        key, _, value = match[1].partition("=")
        hint = f"; for a list write {key}=[{value}]" if "(" not in value else ""
        return Mistake(f"{match[1]}: several values need -m, which runs each{hint}.", match[1])
    if match := _TWICE.search(text):
        group = match[1] or match[2]
        return Mistake(f"+{group}: chosen already; leave out the +.", _find(group, overrides))
    if match := _NO_GROUP.search(text):
        key = match[1].partition("@")[0]
        return Mistake(f"{match[1]}: no group '{key}'.", match[1], unknown_key=key)
    if match := _NOT_MERGED.search(text):
        return Mistake(f"{match[1]}: {_first_line(cause)}.", match[1])
    return Mistake("\n".join(line.strip() for line in (text or _first_line(cause)).splitlines()[:8]))


def _first_line(error: Exception | None) -> str:
    return str(error).splitlines()[0].rstrip(".") if error and str(error) else "does not fit"


def _is_no_option(override: str, options: Options) -> bool:
    key, _, value = override.partition("=")
    parsed = OverridesParser.create().parse_override(f"key={value}").value()
    return bool(options(key.lstrip("+"))) and not isinstance(parsed, str | list | dict)


def _find(key: str, overrides: Sequence[str]) -> str | None:
    return next((one for one in overrides if one.lstrip("+~").split("=")[0].split("@")[0] == key), None)
