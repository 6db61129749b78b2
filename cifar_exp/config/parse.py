"""A composed config as plain data, and as the typed schema of its command."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, TypeVar

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, TypeAdapter, ValidationError

from cifar_exp.config.messages import ConfigError, errors_of, schema_errors
from cifar_exp.errors import UserError
from cifar_exp.network.spec import unknown_sources

Schema = TypeVar("Schema", bound=BaseModel)
AnyConfig = DictConfig | Mapping[str, Any]


def parse(schema: type[Schema], cfg: AnyConfig, required: bool = True) -> Schema:
    """Return `cfg`, resolved and without Hydra's own node, as `schema`; raises ConfigError with every error in it.

    Without `required`, a mandatory value that is still missing (`???`) is none.
    """
    values = plain(cfg)
    missing = [key for key, text in texts(values) if text == "???"]
    if missing and required:
        raise ConfigError([f"{key}=… is missing; this command needs it." for key in missing])
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        errors = schema_errors(error, schema, values)
        layers = (values.get("model") or {}).get("layers") if isinstance(values.get("model"), Mapping) else None
        raise ConfigError([*errors, *(unknown_sources(layers) if isinstance(layers, Mapping) else [])]) from None


def value_errors(schema: type[BaseModel], cfg: AnyConfig) -> list[str]:
    """Return every error in the values of `cfg`; a mandatory value that is missing (`???`) is none."""
    try:
        values = plain(cfg)
    except UserError:  # of a reference, which may be missing because of an override that is at fault
        return []
    return errors_of(lambda: parse(schema, values, required=False))


def valid_parts(schema: type[Schema], values: Mapping[str, Any], whole: Sequence[str] = ()) -> Schema:
    """Return an incomplete config of those values that are valid in themselves; of the keys of `whole`, all or none."""
    parts: dict[str, Any] = {}
    for name, field in schema.model_fields.items():
        kind: Any = Annotated[field.annotation, field]
        try:
            parts[name] = TypeAdapter(kind).validate_python(values[name])
        except KeyError:
            continue
        except ValidationError:
            if name not in whole and isinstance(field.annotation, type) and isinstance(values[name], Mapping):
                parts[name] = valid_parts(field.annotation, values[name])
    return schema.model_construct(**parts)


def plain(cfg: AnyConfig) -> dict[str, Any]:
    """Return `cfg` as plain data, its references resolved, without Hydra's own node."""
    if not isinstance(cfg, DictConfig):
        return {str(key): value for key, value in cfg.items() if key != "hydra"}
    try:
        return {str(key): _plain_value(cfg, key) for key in cfg if key != "hydra"}
    except OmegaConfBaseException as error:
        raise unresolved(error, error.full_key) from None


def _plain_value(cfg: DictConfig, key: Any) -> Any:
    value = "???" if OmegaConf.is_missing(cfg, key) else cfg[key]
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def unresolved(error: OmegaConfBaseException, where: str | None = None) -> UserError:
    """Return the error of a value, at `where`, that refers to what does not exist."""
    text = str(error).splitlines()[0]
    _, _, cause = text.partition(" while resolving interpolation: ")  # after the name of an exception
    reason = cause.strip('"') or text
    return UserError((f"{where}: " if where else "") + reason.rstrip(".") + ".")


def texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield each text in plain data with its dotted key."""
    if isinstance(value, str):
        yield key, value
    named = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for name, one in named:
        yield from texts(one, f"{key}.{name}".lstrip("."))
