"""The messages of user errors: what was given, what was expected, and the nearest valid name."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from cifar_exp.config.keys import Keys, key_hint
from cifar_exp.errors import UserError, did_you_mean

MAX_LINES = 12


def listing(errors: Sequence[str]) -> str:
    """Return one message of at most 12 lines: the error, or as many of the errors as there is room for."""
    errors = list(dict.fromkeys(errors))
    if len(errors) == 1:
        return _shortened(errors[0].splitlines(), MAX_LINES)
    lines = [line for error in errors for line in _bullet(error)]
    return _shortened([f"{len(errors)} errors:", *lines], MAX_LINES)


class ConfigError(UserError):
    """Several errors of one config, reported at once."""

    def __init__(self, errors: Sequence[str]) -> None:
        super().__init__(listing(errors))
        self.errors = tuple(errors)


def collected(*checks: Callable[[], Any]) -> list[Any]:
    """Return what independent checks return. Raises ConfigError with the errors of all that fail."""
    found: list[Any] = []
    errors: list[str] = []
    for check in checks:
        try:
            found.append(check())
        except ConfigError as error:
            errors += error.errors
        except UserError as error:
            errors.append(str(error))
    if errors:
        raise ConfigError(errors)
    return found


def errors_of(*checks: Callable[[], Any]) -> list[str]:
    """Return the errors of all checks that fail."""
    try:
        collected(*checks)
    except ConfigError as error:
        return list(error.errors)
    return []


def _bullet(error: str) -> list[str]:
    first, *rest = error.splitlines()
    return [f"- {first}", *(f"  {line}" for line in rest)]


def _shortened(lines: list[str], room: int) -> str:
    if len(lines) > room:
        lines = [*lines[: room - 1], f"… and {len(lines) - room + 1} more lines"]
    return "\n".join(lines)


def shown(value: Any, width: int = 60) -> str:
    """Return a value as one writes it in YAML on one line, not longer than `width`."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= width else text[: width - 1] + "…"


def schema_errors(error: ValidationError, schema: type[BaseModel], values: Mapping[str, Any]) -> list[str]:
    """Return one text per error that pydantic found in `values`, without what layers inherit from `model.layer`."""
    keys = Keys(schema)
    errors: dict[str, str] = {}
    for details in error.errors(include_url=False):
        path = ".".join(_path(keys, details))
        errors.setdefault(path, _text(path, details, keys, values))
    hints = "".join(errors.values())
    misspelled = {path for path in errors if f"Did you mean '{path}'?" in hints}  # and so missing
    return [text for path, text in errors.items() if path not in misspelled and not _is_inherited(path, errors, values)]


def unknown_key(key: str, schema: type[BaseModel]) -> str:
    """Return the error of a dotted key whose first name the schema does not have."""
    siblings = [] if "." in key else list(schema.model_fields)
    return f"{key}: unknown key.{key_hint(key, siblings, Keys(schema).names())}"


def _path(keys: Keys, details: ErrorDetails) -> tuple[str, ...]:
    location, path = details["loc"], keys.path(details["loc"])
    if details["type"] in ("extra_forbidden", "missing"):
        path = (*keys.path(location[:-1]), str(location[-1]))
    elif details["type"].startswith("union_tag"):
        path = (*path, str(details["ctx"]["discriminator"]).strip("'"))
    return path


def _is_inherited(path: str, errors: Mapping[str, str], values: Mapping[str, Any]) -> bool:
    """Return whether a layer only repeats the error of `model.layer`, which every layer starts from."""
    match = re.fullmatch(r"((?:model\.)?)layers\.([^.]+)\.([^.]+).*", path)
    if match is None or f"{match[1]}layer.{match[3]}" not in errors:
        return False
    return _value_at(values, f"{match[1]}layers.{match[2]}.{match[3]}", None) is None


def _text(path: str, details: ErrorDetails, keys: Keys, values: Mapping[str, Any]) -> str:
    location, kind = details["loc"], details["type"]
    if kind == "extra_forbidden":
        return f"{path}: unknown key.{key_hint(path, keys.siblings(location), keys.names())}"
    if location[-1] == "[key]":
        return f"{path}: {shown(details['input'])}: a name is a text; quote it, or let it begin with a letter."
    if kind == "unknown_name":
        return f"{path}: {details['msg']}."
    if kind == "missing":
        return f"{path}: missing; expected {keys.expected(location)}."
    if kind.startswith("union_tag"):
        given = details["input"].get("name") if isinstance(details["input"], Mapping) else details["input"]
        names = str(details["ctx"].get("expected_tags", "")).replace("'", "")
        return f"{path}: expected one of {names}, got {shown(given)}.{did_you_mean(str(given), names.split(', '))}"
    if kind == "value_error":
        given = "" if isinstance(details["input"], Mapping) else f", got {shown(details['input'])}"
        return f"{path}: {details['ctx']['error']}{given}."
    if kind == "too_short" and not details["input"]:
        return f"{path}: is empty; expected {keys.expected(location)}."
    if kind in ("too_short", "too_long") and isinstance(details["input"], str):
        bound = "at least" if kind == "too_short" else "at most"
        length = details["ctx"].get("min_length", details["ctx"].get("max_length"))
        return f"{path}: expected {bound} {length} characters, got {len(details['input'])}."
    if kind in ("too_short", "too_long"):
        return f"{path}: {details['msg'][0].lower()}{details['msg'][1:]}."
    if kind == "string_pattern_mismatch":
        return f"{path}: expected a text that matches {details['ctx']['pattern']}, got {shown(details['input'])}."
    is_item = any(isinstance(part, int) for part in location)
    given = details["input"] if is_item else _value_at(values, path, details["input"])
    hint = did_you_mean(given, keys.choices(location)) if isinstance(given, str) else ""
    return f"{path}: expected {keys.expected(location)}, got {shown(given)}.{hint}"


def _value_at(values: Mapping[str, Any], path: str, otherwise: Any) -> Any:
    node: Any = values
    for part in path.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return otherwise
        node = node[part]
    return node
