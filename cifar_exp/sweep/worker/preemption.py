"""What a worker does when its cluster announces that the job's time is up."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

ANNOUNCEMENTS = [getattr(signal, name) for name in ("SIGUSR1", "SIGUSR2") if hasattr(signal, name)]  # not on Windows


@contextmanager
def interrupted_when_time_is_up() -> Iterator[None]:
    """Let an announcement interrupt the trial, so that another worker continues it.

    The launcher's handler of the signal asks the cluster for a requeue and ends the process, or raises the reason why
    there is none. In the middle of a training, either would be recorded as the trial's failure. Here it is raised
    once the worker has given the trial up.
    """
    ends: list[BaseException] = []
    handlers = {number: signal.getsignal(number) for number in ANNOUNCEMENTS}
    ours = {number: _interrupting(handler, ends) for number, handler in handlers.items() if callable(handler)}
    for number, handler in ours.items():
        signal.signal(number, handler)
    try:
        yield
    except KeyboardInterrupt:
        raise ends[0] if ends else KeyboardInterrupt from None
    finally:
        for number in ours:
            signal.signal(number, handlers[number])


def _interrupting(handler: Callable[[int, FrameType | None], Any], ends: list[BaseException]) -> Any:
    """Return `handler`, whose exception becomes an interruption; it is kept in `ends`."""

    def handle(signum: int, frame: FrameType | None) -> None:
        try:
            handler(signum, frame)
        except (SystemExit, Exception) as end:
            ends.append(end)
            raise KeyboardInterrupt from None

    return handle
