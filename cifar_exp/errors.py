"""The errors that are reported in one message, without a traceback."""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """An error by the user; `str(error)` is the whole message, of at most 12 lines.

    It names what was given, what was expected, and the nearest valid name. Every command prints it on stderr and ends
    with exit status 2.
    """


class RunFailedError(Exception):
    """A run that failed for a known reason, which is `str(error)`; commands end with exit status 1."""


class TakenOverError(Exception):
    """Another process has taken the trial of this one over: it must write nothing more."""


def did_you_mean(given: str, known: Iterable[object]) -> str:
    """Return ` Did you mean 'conv6'?` where a known name is near `given`, else an empty string."""
    near = get_close_matches(given, [str(name) for name in known], n=1, cutoff=0.6)
    return f" Did you mean '{near[0]}'?" if near else ""
