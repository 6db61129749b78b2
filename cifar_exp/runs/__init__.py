"""A run's directory: layout, lock, result, loading; no other package knows a file name in it."""
