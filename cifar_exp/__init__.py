"""Small CNNs for CIFAR: described in YAML, launched with overrides, searched under hard budgets.

Everything that the commands do is a call away:

    import cifar_exp as ce

    config = ce.compose(["model=model2", "data=synthetic", "trainer.max_epochs=3"])
    print(ce.plan(config))

The names below are imported at their first use (PEP 562): `import cifar_exp` loads neither torch nor Hydra.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cifar_exp.api import compose, plan
    from cifar_exp.config.schema import TrainConfig
    from cifar_exp.errors import UserError
    from cifar_exp.network.spec import ModelSpec

__version__ = "0.2.0"

__all__ = ["ModelSpec", "TrainConfig", "UserError", "__version__", "compose", "plan"]

_MODULES = {
    "compose": "cifar_exp.api",
    "plan": "cifar_exp.api",
    "ModelSpec": "cifar_exp.network.spec",
    "TrainConfig": "cifar_exp.config.schema",
    "UserError": "cifar_exp.errors",
}


def __getattr__(name: str) -> Any:
    """Import a public name at its first use."""
    if name not in _MODULES:
        raise AttributeError(f"module 'cifar_exp' has no attribute '{name}'")
    value = globals()[name] = getattr(import_module(_MODULES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
