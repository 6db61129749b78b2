"""Where the shipped configs are."""

from pathlib import Path


def conf_dir() -> Path:
    """`cifar_exp/conf` of an installed wheel, or `conf/` of the checkout that an editable install points to."""
    package = Path(__file__).resolve().parents[1]
    inside_wheel = package / "conf"
    return inside_wheel if inside_wheel.is_dir() else package.parent / "conf"
