"""What the command line may say beyond Hydra's own rules: fields that a YAML entry need not hold yet.

`model.layers.conv7.skip=conv6` works though conv7's entry has no `skip`, and `eval run=DIR data.root=…` though
`data` is null. Hydra would ask for `+` or `++`, so the application writes that for the user; the schema then
checks the outcome as it checks everything.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType, Quote, QuotedString
from hydra.errors import OverrideParseException
from omegaconf import OmegaConf

from cifar_exp.config.messages import ConfigError
from cifar_exp.errors import did_you_mean

_OPEN_KEYS = {
    "train": re.compile(r"model\.(layers\.[^.=]+|layer|head)\.\w+"),
    "summary": re.compile(r"model\.(layers\.[^.=]+|layer|head)\.\w+"),
    "eval": re.compile(r"data\.\w+"),
    "export": re.compile(r"data\.\w+"),
}
_NOT_TEXT = ("null", "true", "false", "nan", "inf")  # what the grammar reads as something else
_LAYER = re.compile(r"model\.layers\.([^.=]+)")


def parse_overrides(overrides: Sequence[str]) -> list[Override]:
    """The overrides in Hydra's grammar; raises ConfigError naming each that does not follow it."""
    parser = OverridesParser.create()
    parsed, mistakes = [], []
    for override in overrides:
        try:
            parsed += parser.parse_overrides([override])
        except OverrideParseException as error:
            mistakes.append(_not_understood(override, error))
    if mistakes:
        raise ConfigError(mistakes)
    return parsed


def _not_understood(override: str, error: OverrideParseException) -> str:
    if "=" not in override:
        return f"'{override}': expected KEY=VALUE."
    reason = next(line for line in str(error.message).splitlines() if not line.startswith("Error parsing override"))
    return f"'{override}': not understood ({reason}). Quote a value with special characters: KEY=\"'…'\"."


def saved_overrides(file: Path) -> list[str]:
    """The overrides in Hydra's `overrides.yaml`, as they were given; none where its writer was killed."""
    kept = OmegaConf.to_container(OmegaConf.load(file), resolve=False) if file.is_file() else []
    return [str(override) for override in kept] if isinstance(kept, list) else []


def without_sweeps(overrides: Sequence[str]) -> list[str]:
    """The overrides that hold for every job of a `-m`."""
    return [str(one.input_line) for one in parse_overrides(overrides) if not one.is_sweep_override()]


def open_up(overrides: Sequence[str], command: str) -> list[str]:
    """`overrides` with `++` before every plain one of a field that its entry need not hold yet."""
    open_keys = _OPEN_KEYS.get(command)
    if open_keys is None:
        return list(overrides)
    return [f"++{override}" if open_keys.match(override) else override for override in overrides]


def unknown_layers(given: Iterable[str], layers: Iterable[str]) -> list[str]:
    """A mistake for each plain override in `given`, as the user wrote it, of a layer that is none of `layers`.

    A layer that an earlier `+model.layers.NAME.…` adds is known from there on.
    """
    known = list(layers)
    mistakes = []
    for override in parse_overrides(list(given)):
        match = _LAYER.match(override.key_or_group)
        if match is None or match[1] in known:
            continue
        name = match[1]
        if override.type in (OverrideType.ADD, OverrideType.FORCE_ADD):
            known.append(name)
        elif override.type is OverrideType.CHANGE:
            hint = did_you_mean(name, known) or f" Layers: {', '.join(known)}."
            new = f"+model.layers.{name}.channels=…"
            mistakes.append(f"{override.key_or_group}: no layer '{name}'.{hint} A new layer is added by {new}")
    return mistakes


def written(value: Any) -> str:
    """A value in the grammar of overrides."""
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
