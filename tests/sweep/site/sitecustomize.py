"""Python runs this at its start where the directory is on PYTHONPATH: the workers of any launcher only pretend too."""

from tests.sweep.stand_in import install

install()
