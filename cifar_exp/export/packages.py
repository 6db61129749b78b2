"""What an export needs beside torch."""

from importlib.util import find_spec

from cifar_exp.errors import UserError

ONNX = ("onnx", "onnxscript", "onnxruntime")


def require_onnx() -> None:
    """Raise UserError, with the command that installs them, where packages are missing."""
    missing = [name for name in ONNX if find_spec(name) is None]
    if missing:
        raise UserError(
            f"format=onnx needs {', '.join(missing)}, not installed here.\n"
            'Install with: pip install "cifar-exp[export]"   (format=torch needs nothing more.)'
        )
