"""Every figure, from plain series."""
