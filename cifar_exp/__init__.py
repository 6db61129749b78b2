"""Small CNNs for CIFAR: described in YAML, launched with overrides, searched under hard budgets."""

__version__ = "0.2.0"
