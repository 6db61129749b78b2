"""The command line: entry point, Hydra application, override checks, multirun, help."""

from cifar_exp.cli.entry import main, run

__all__ = ["main", "run"]
