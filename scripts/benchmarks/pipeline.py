"""One pipeline in a process of its own: python -m benchmarks.pipeline NAME SETTING, the latter in JSON."""

import importlib
import json
import logging
import sys
import warnings

from cifar_exp.process import configure_process


def main() -> None:
    """Run the pipeline until its stdin is closed."""
    name, setting = sys.argv[1], json.loads(sys.argv[2])
    if name != "usual":
        configure_process()
    from benchmarks.gate import Gate, Setting

    warnings.filterwarnings("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    gate = Gate(setting["device"])
    importlib.import_module(f"benchmarks.{name}").train(Setting(**setting), gate)


if __name__ == "__main__":
    main()
