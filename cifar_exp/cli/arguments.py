"""The flags of a command: those of a Hydra application."""

import argparse
from collections.abc import Sequence
from typing import NoReturn

from cifar_exp.config.overrides import written
from cifar_exp.errors import UserError, did_you_mean
from cifar_exp.files import expanded

SWITCHES = {
    "--help": "-h",
    "--hydra-help": None,
    "--version": None,
    "--resolve": None,
    "--run": "-r",
    "--multirun": "-m",
    "--shell-completion": "-sc",
}
VALUES = {"--package": "-p", "--config-path": "-cp", "--config-name": "-cn", "--config-dir": "-cd"}
INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Raise UserError, where argparse would print its usage and exit."""
        unknown = message.removeprefix("unrecognized arguments: ").split()[0]
        flags = (*SWITCHES, *VALUES, "--cfg", "--info")
        raise UserError(f"{message}.{did_you_mean(unknown, flags) if message.startswith('unrecognized') else ''}")


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the flags and, as `overrides`, all that is no flag.

    Raises:
        UserError: an unknown flag, or one without its value.
    """
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("overrides", nargs="*")
    for name, short in SWITCHES.items():
        parser.add_argument(*filter(None, (name, short)), action="store_true")
    for name, short in VALUES.items():
        parser.add_argument(name, short)
    parser.add_argument("--cfg", "-c", choices=("job", "hydra", "all"))
    parser.add_argument("--info", "-i", nargs="?", const="all", choices=INFO)
    args = parser.parse_intermixed_args(list(arguments))
    args.overrides = [_with_home(one) for one in args.overrides]
    return args


def _with_home(override: str) -> str:
    """Return an override with the user's home for the `~` of a path, which a shell leaves and Hydra does not know."""
    key, _, value = override.partition("=")
    return f"{key}={written(str(expanded(value)))}" if value == "~" or value.startswith("~/") else override
