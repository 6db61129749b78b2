"""Small CNNs for CIFAR: described in YAML, launched with overrides, searched under hard budgets.

Everything that the commands do is a call away:

    import cifar_exp as ce

    config = ce.compose(["model=model2", "data=synthetic", "trainer.max_epochs=3"])
    print(ce.plan(config))
    run = ce.train(config, "runs/first")
    ce.load_run("runs/first").model().predict(["cat.jpg"])

The names below are imported at their first use (PEP 562): `import cifar_exp` loads neither torch nor Hydra.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cifar_exp.api import compose as compose
    from cifar_exp.api import plan as plan
    from cifar_exp.config.schema import TrainConfig as TrainConfig
    from cifar_exp.errors import RunFailedError as RunFailedError
    from cifar_exp.errors import UserError as UserError
    from cifar_exp.network.spec import ModelSpec as ModelSpec
    from cifar_exp.runs.run import Run as Run
    from cifar_exp.runs.run import load_run as load_run
    from cifar_exp.training.train import train as train

__version__ = "0.2.0"

_MODULES = {
    "compose": "cifar_exp.api",
    "plan": "cifar_exp.api",
    "train": "cifar_exp.training.train",
    "load_run": "cifar_exp.runs.run",
    "Run": "cifar_exp.runs.run",
    "RunFailedError": "cifar_exp.errors",
    "ModelSpec": "cifar_exp.network.spec",
    "TrainConfig": "cifar_exp.config.schema",
    "UserError": "cifar_exp.errors",
}
__all__ = ["__version__", *_MODULES]


def __getattr__(name: str) -> Any:
    """Import a public name at its first use."""
    if name not in _MODULES:
        raise AttributeError(f"module 'cifar_exp' has no attribute '{name}'")
    value = globals()[name] = getattr(import_module(_MODULES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
