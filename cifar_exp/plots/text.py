"""Names in matplotlib's figures, which would take two dollar signs for a formula."""


def literal(name: str) -> str:
    """Return `name` such that matplotlib draws it as it is."""
    return name.replace("$", r"\$")
