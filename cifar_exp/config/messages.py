"""The words for a user's mistakes: what was given, what was expected, and the nearest right name."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from cifar_exp.config.keys import Keys, nearest_key_hint
from cifar_exp.errors import UserError, did_you_mean

MAX_LINES = 12


def listing(mistakes: Sequence[str]) -> str:
    """One message of at most 12 lines: the mistake, or as many of them as there is room for."""
    mistakes = list(dict.fromkeys(mistakes))
    if len(mistakes) == 1:
        return _shortened(mistakes[0].splitlines(), MAX_LINES)
    lines = [line for mistake in mistakes for line in _bullet(mistake)]
    return _shortened([f"{len(mistakes)} mistakes:", *lines], MAX_LINES)


class ConfigError(UserError):
    """Several errors of one config, reported at once."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__(listing(mistakes))
        self.errors = tuple(mistakes)


def _bullet(mistake: str) -> list[str]:
    first, *rest = mistake.splitlines()
    return [f"- {first}", *(f"  {line}" for line in rest)]


def _shortened(lines: list[str], room: int) -> str:
    if len(lines) > room:
        lines = [*lines[: room - 1], f"… and {len(lines) - room + 1} lines more"]
    return "\n".join(lines)


def shown(value: Any, width: int = 60) -> str:
    """A value as one writes it in YAML on one line, not longer than `width`."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= width else text[: width - 1] + "…"


def schema_errors(error: ValidationError, schema: type[BaseModel], values: Mapping[str, Any]) -> list[str]:
    """One line a mistake that pydantic found in `values`."""
    keys = Keys(schema)
    mistakes: dict[str, str] = {}
    for details in error.errors(include_url=False):
        path = ".".join(_path(keys, details))
        mistakes.setdefault(path, _mistake(path, details, keys, values))
    return [text for path, text in mistakes.items() if not _comes_from_layer_defaults(path, mistakes)]


def _path(keys: Keys, details: ErrorDetails) -> tuple[str, ...]:
    location, path = details["loc"], keys.path(details["loc"])
    if details["type"] in ("extra_forbidden", "missing"):
        path = (*keys.path(location[:-1]), str(location[-1]))
    elif details["type"].startswith("union_tag"):
        path = (*path, str(details["ctx"]["discriminator"]).strip("'"))
    return path


def _comes_from_layer_defaults(path: str, mistakes: Mapping[str, str]) -> bool:
    """Whether a layer only repeats the mistake of `model.layer`, which every layer starts from."""
    if not (match := re.fullmatch(r"model\.layers\.[^.]+\.(.+)", path)):
        return False
    source = f"model.layer.{match[1]}"
    return source in mistakes and mistakes[source].removeprefix(source) == mistakes[path].removeprefix(path)


def _mistake(path: str, details: ErrorDetails, keys: Keys, values: Mapping[str, Any]) -> str:
    location, kind = details["loc"], details["type"]
    if kind == "extra_forbidden":
        return f"{path}: unknown key.{_near_key(path, keys, location)}"
    if kind == "missing":
        return f"{path}: missing; expected {keys.expected(location)}."
    if kind.startswith("union_tag"):
        given = details["input"].get("name") if isinstance(details["input"], Mapping) else details["input"]
        names = str(details["ctx"].get("expected_tags", "")).replace("'", "")
        return f"{path}: expected one of {names}, got {shown(given)}.{did_you_mean(str(given), names.split(', '))}"
    if kind == "value_error":
        given = "" if isinstance(details["input"], Mapping) else f", got {shown(details['input'])}"
        return f"{path}: {details['ctx']['error']}{given}."
    if kind in ("too_short", "too_long"):
        return f"{path}: {details['msg'][0].lower()}{details['msg'][1:]}."
    given = _value_at(values, path, details["input"])
    hint = did_you_mean(given, keys.choices(location)) if isinstance(given, str) else ""
    return f"{path}: expected {keys.expected(location)}, got {shown(given)}.{hint}"


def _value_at(values: Mapping[str, Any], path: str, otherwise: Any) -> Any:
    node: Any = values
    for part in path.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return otherwise
        node = node[part]
    return node


def _near_key(path: str, keys: Keys, location: Sequence[str | int]) -> str:
    siblings = keys.siblings(location)
    parent, dot, _ = path.rpartition(".")
    known = [*(parent + dot + name for name in siblings), *keys.names()]
    return nearest_key_hint(path, known) or f" Known: {', '.join(siblings)}."
