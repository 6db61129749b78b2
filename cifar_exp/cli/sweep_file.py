"""`train -m sweep=NAME`: a sweep file, written like a config of its own, becomes overrides before the user's."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from cifar_exp.config.compose import Composer
from cifar_exp.config.composition_errors import COMPOSITION_ERRORS, composition_error
from cifar_exp.config.overrides import expressions, parse_overrides, written
from cifar_exp.errors import UserError, did_you_mean


def expand_sweep(given: Sequence[Override], composer: Composer, command: str, multirun: bool) -> list[Override]:
    """Return `given` with `sweep=NAME` replaced by the overrides of the sweep's file, before all others.

    So a later override of the user's extends the file's space or replaces an entry of it.
    """
    chosen = [one for one in given if one.key_or_group == "sweep"]
    if not chosen or command != "train":
        return list(given)
    name = chosen[-1].value()
    others = [one for one in given if one.key_or_group != "sweep"]
    if name is None:
        return others
    if not isinstance(name, str):
        raise UserError(f"{chosen[-1].input_line}: expected the name of one sweep.")
    known = composer.options("sweep")
    if name not in known:
        raise UserError(
            f"sweep={name}: no such sweep.{did_you_mean(name, known)}\nSweeps: {', '.join(known) or 'none'}."
        )
    if not multirun:
        raise UserError(f"sweep={name}: a sweep runs several jobs; add -m: cifar-exp train -m sweep={name} …")
    return [*parse_overrides(_overrides(_load(composer, name), composer), composer.loader), *others]


def _load(composer: Composer, name: str) -> DictConfig:
    for source in composer.loader.get_sources():
        file = Path(urlparse(source.full_path()).path) / "sweep" / f"{name}.yaml"
        if source.scheme() == "file" and file.is_file():
            try:
                content = OmegaConf.load(file)
            except COMPOSITION_ERRORS as error:
                raise UserError(composition_error(error)) from None
            if isinstance(content, DictConfig) and "defaults" not in content:
                return content
            raise UserError(f"{file}: expected keys and values; a group is chosen by GROUP: OPTION, not by `defaults`.")
    raise UserError(f"sweep={name}: no file sweep/{name}.yaml.")


def _overrides(content: DictConfig, composer: Composer) -> list[str]:
    container = OmegaConf.to_container(content, resolve=False)
    body: dict[str, Any] = {str(key): value for key, value in dict(container).items()}  # type: ignore[arg-type]
    hydra = dict(body.pop("hydra", None) or {})
    sweeper = hydra.pop("sweeper", None) or {}
    space = sweeper.pop("params", None) or {} if isinstance(sweeper, dict) else {}
    settings = {"sweeper": sweeper} if isinstance(sweeper, dict) else {}
    return [
        f"hydra/sweeper={sweeper if isinstance(sweeper, str) else 'budgeted'}",
        *_flattened(body, composer, ""),
        *_flattened({"hydra": {**hydra, **settings}}, composer, ""),
        *expressions(space),
    ]


def _flattened(node: Mapping[str, Any], composer: Composer, prefix: str) -> Iterator[str]:
    """Yield an override for each leaf, and for each name of an option in place of a group."""
    for key, value in node.items():
        path = f"{prefix}{key}"
        group = path.replace(".", "/")
        if isinstance(value, Mapping) and value:
            yield from _flattened(value, composer, f"{path}.")
        elif (value is None or isinstance(value, str)) and composer.options(group):
            yield f"{group}={written(value)}"
        else:
            yield f"{path}={written(value)}"
