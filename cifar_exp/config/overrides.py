"""Overrides in Hydra's grammar."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType, Quote, QuotedString
from hydra.errors import OverrideParseException

from cifar_exp.config.messages import ConfigError
from cifar_exp.errors import did_you_mean

_WHERE = ("Error parsing override", "Error when parsing index")  # the lines of Hydra's message that repeat the override
_NOT_TEXT = ("null", "true", "false", "nan", "inf")  # what the grammar reads as something else
_LAYER = re.compile(r"model\.layers\.([^.=]+)")


def parse_overrides(overrides: Iterable[str], loader: ConfigLoader | None = None) -> list[Override]:
    """Return the overrides as Hydra understands them.

    Args:
        overrides: as on the command line.
        loader: knows the options that a `glob(…)` stands for; needed for its values alone.

    Raises:
        ConfigError: naming each override that is not in Hydra's grammar.
    """
    parser = OverridesParser.create(config_loader=loader)
    parsed, errors = [], []
    for override in overrides:
        try:
            parsed += parser.parse_overrides([override])
        except OverrideParseException as error:
            errors.append(_not_understood(override, error))
    if errors:
        raise ConfigError(errors)
    return parsed


def lines(overrides: Iterable[Override]) -> list[str]:
    """Return the overrides as they were given."""
    return [str(one.input_line) for one in overrides]


def _not_understood(override: str, error: OverrideParseException) -> str:
    if "=" not in override:
        return f"'{override}': expected KEY=VALUE."
    reason = next(line for line in str(error.message).splitlines() if not line.startswith(_WHERE))
    if "NoneType is incompatible" in reason:
        return f"'{override}': choice(…) takes no null; write the values alone, as in KEY=null,conv4."
    if reason.startswith("LexerNoViableAltException"):
        reason = "a character that is special there"
    return f"'{override}': not understood ({reason}). Quote a value with special characters: KEY=\"'…'\"."


def unknown_layer(override: Override, layers: Sequence[str]) -> str | None:
    """Return the error of an override of a layer that is none of `layers`, if there are any; else None."""
    match = _LAYER.match(override.key_or_group)
    if override.type is not OverrideType.CHANGE or match is None or not layers or match[1] in layers:
        return None
    hint = did_you_mean(match[1], layers) or f" Layers: {', '.join(layers)}."
    new = f"+model.layers.{match[1]}.channels=…"
    return f"{override.key_or_group}: no layer '{match[1]}'.{hint} A new layer is added by {new}"


def expressions(space: Mapping[str, Any] | None) -> list[str]:
    """Return the overrides of a space: of each key, a sweep expression as the file has it, or a plain value."""
    return [f"{key}={value if isinstance(value, str) else written(value)}" for key, value in (space or {}).items()]


def written(value: Any) -> str:
    """Return a value in the grammar of overrides."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list):
        return f"[{','.join(written(item) for item in value)}]"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{written(item)}" for key, item in value.items()) + "}"
    text = str(value)
    is_plain = re.fullmatch(r"[A-Za-z_][\w-]*", text, re.ASCII) and text.lower() not in _NOT_TEXT
    return text if is_plain else QuotedString(text, Quote.single).with_quotes()
