"""Which command."""


def main() -> None:
    """Entry point of `cifar-exp`."""
