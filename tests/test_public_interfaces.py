"""Nothing that a library keeps to itself is used: an underscore module, name or attribute may change in any release."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LIBRARIES = {"hydra", "optuna", "pytorch_lightning", "lightning_fabric", "torch", "torchvision", "wandb", "omegaconf"}
PUBLIC_DESPITE_NAME = {"_exit"}  # os._exit is documented under this name
NAMED_TUPLE = {"_asdict", "_replace", "_fields", "_make"}  # documented; an underscore keeps them off the fields' names
FILES = sorted([*(ROOT / "cifar_exp").rglob("*.py"), *(ROOT / "hydra_plugins").rglob("*.py")])


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def own_names(tree: ast.Module) -> Iterator[str]:
    """Yield what the file itself defines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.attr if isinstance(node, ast.Attribute) else node.id


def private_uses(tree: ast.Module) -> Iterator[str]:
    """Yield what is imported or read and neither public nor defined in this file."""
    own = NAMED_TUPLE.union(PUBLIC_DESPITE_NAME, own_names(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = getattr(node, "module", None) or ""
            for name in (f"{module}.{alias.name}".strip(".") for alias in node.names):
                parts = name.split(".")
                if parts[0] in LIBRARIES and any(is_private(part) for part in parts):
                    yield name
        elif isinstance(node, ast.Attribute) and is_private(node.attr) and node.attr not in own:
            yield ast.unparse(node)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "._internal" in node.value:
            yield node.value


@pytest.mark.parametrize("source", ["from hydra._internal import hydra", "x._value", "super()._sample()"])
def test_a_private_use_is_found(source: str) -> None:
    assert list(private_uses(ast.parse(source)))


@pytest.mark.parametrize("source", ["self._x = 1\nself._x", "row._asdict()", "def _f(): ...\n_f()"])
def test_ones_own_names_are_no_private_use(source: str) -> None:
    assert not list(private_uses(ast.parse(source)))


def test_only_public_interfaces_are_used() -> None:
    found = {
        str(file.relative_to(ROOT)): uses
        for file in FILES
        if (uses := sorted(set(private_uses(ast.parse(file.read_text(encoding="utf-8"))))))
    }
    assert not found
