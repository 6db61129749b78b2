"""What a command shows instead of running: its config, and what Hydra knows of itself."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from os import environ

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from cifar_exp.config.location import conf_dir
from cifar_exp.config.parse import unresolved
from cifar_exp.errors import UserError


def show_config(cfg: DictConfig, part: str, package: str | None, resolve: bool) -> None:
    """Print the config as YAML.

    Args:
        part: `job` for the application's own config, `hydra` for Hydra's node, or `all`.
        package: a key, such as `model.layers.conv1`; None for all.
        resolve: whether references are replaced by their values.

    Raises:
        UserError: there is no such package, or a reference points to nothing.
    """
    HydraConfig.instance().set_config(cfg)
    cfg = OmegaConf.masked_copy(
        cfg, [str(key) for key in cfg if part == "all" or (key == "hydra") == (part == "hydra")]
    )
    try:
        node = OmegaConf.select(cfg, package) if package and package != "_global_" else cfg
        if node is None:
            raise UserError(f"--package {package}: no such key in the config.")
        if package:
            print(f"# @package {package}")
        print(OmegaConf.to_yaml(node, resolve=resolve).rstrip() if OmegaConf.is_config(node) else node)
    except OmegaConfBaseException as error:
        raise unresolved(error) from None


def show_hydras_own(config_name: str, flags: Sequence[str], overrides: Sequence[str]) -> int:
    """Let Hydra print its help, where the config comes from, or shell completions; return the exit status."""
    application = hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=config_name)(lambda _: None)
    try:
        with _command_line([*flags, *overrides]):
            application()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


@contextmanager
def _command_line(arguments: Sequence[str]) -> Iterator[None]:
    """Replace the process's arguments, which `hydra.main` reads, and let exceptions pass through it."""
    before, full_error = sys.argv, environ.get("HYDRA_FULL_ERROR")
    sys.argv, environ["HYDRA_FULL_ERROR"] = ["cifar-exp", *arguments], "1"
    try:
        yield
    finally:
        sys.argv = before
        environ.pop("HYDRA_FULL_ERROR")
        if full_error is not None:
            environ["HYDRA_FULL_ERROR"] = full_error
