"""Which command; nothing else. Torch, Hydra and the command itself are imported once it is known."""

import io
import os
import sys
from collections.abc import Sequence

from cifar_exp import __version__
from cifar_exp.errors import did_you_mean

COMMANDS = {
    "train": "train, validate, and test once with the best weights; -m for several, or for a sweep",
    "eval": "test a finished run's best weights again, on any data source",
    "predict": "classify one image file, or every image in a directory",
    "summary": "the layer table with parameters, MACs and output sizes; no data, no training",
    "report": "compare finished runs, or the trials of a sweep, as Markdown and one HTML page",
    "export": "write the trained network for other runtimes, and check it against PyTorch",
}

EXAMPLES = """\
  cifar-exp train data=synthetic trainer.max_epochs=3
  cifar-exp train model=model2 optimizer.lr=3e-3 model.layers.conv2.channels=48
  cifar-exp train -m sweep=width50k
  cifar-exp summary model=resnet20
  cifar-exp eval run=outputs/model2/2025-01-31_12-00-00"""


def help_text() -> str:
    """Return what `cifar-exp --help` prints."""
    commands = "\n".join(f"  {name:<8}  {line}" for name, line in COMMANDS.items())
    return (
        "Small CNNs for CIFAR: described in YAML, launched with overrides, searched under hard budgets.\n\n"
        "Usage: cifar-exp COMMAND [KEY=VALUE | GROUP=OPTION]… [flags]\n\n"
        f"Commands\n{commands}\n\nExamples\n{EXAMPLES}\n\n"
        "More: cifar-exp COMMAND --help"
    )


def run(arguments: Sequence[str]) -> int:
    """Run `cifar-exp ARGUMENTS…` and return its exit status."""
    command, rest = (arguments[0], arguments[1:]) if arguments else ("--help", [])
    if command in ("--help", "-h", "help"):
        print(help_text())
        return 0
    if command == "--version":
        print(f"cifar-exp {__version__}")
        return 0
    if command in ("--shell-completion", "-sc"):
        return _complete(arguments)
    if command not in COMMANDS:
        hint = did_you_mean(command, COMMANDS)
        print(f"'{command}': no such command.{hint}\nCommands: {', '.join(COMMANDS)}.", file=sys.stderr)
        return 2
    from cifar_exp.cli import app

    return app.run(command, rest)


def _complete(arguments: Sequence[str]) -> int:
    """`cifar-exp -sc install=bash`, and what the installed function asks for: commands, then Hydra's completion."""
    from cifar_exp.cli import app

    typed = os.environ.get("COMP_LINE", "").split(maxsplit=2)
    if "COMP_LINE" not in os.environ or (len(typed) > 1 and typed[1] in COMMANDS):
        os.environ["COMP_LINE"] = " ".join(["cifar-exp", *typed[2:]])
        return app.run(typed[1] if typed else "train", arguments)
    print(" ".join(COMMANDS))
    return 0


def main() -> None:
    """Entry point of `cifar-exp`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # an encoding without box drawing, as cp1252
    try:
        status = run(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # `cifar-exp … | head`
        from cifar_exp.process import discard_output

        discard_output(sys.stdout)
        status = 0
    except KeyboardInterrupt as interruption:
        from cifar_exp.process import is_first_process

        if is_first_process():
            print(f"Interrupted.{interruption}", file=sys.stderr)
        status = 130
    sys.exit(status)
