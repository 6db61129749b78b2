"""The errors that are told in one message: the user's to mend, and the run's own."""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """A mistake by the user; `str(error)` is the whole message, of at most 12 lines.

    It names what was given, what was expected, and the nearest right name. Every command turns it into
    that message on stderr and exit status 2, without a traceback.
    """


class RunFailedError(Exception):
    """A run that went wrong for a known reason, which `str(error)` tells; exit status 1, without a traceback."""


def did_you_mean(given: str, known: Iterable[object]) -> str:
    """` Did you mean 'conv6'?` where a known name is near `given`, else an empty string."""
    near = get_close_matches(given, [str(name) for name in known], n=1, cutoff=0.6)
    return f" Did you mean '{near[0]}'?" if near else ""
