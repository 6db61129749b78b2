"""A console whose reader may leave: `cifar-exp train 2>&1 | head -1`."""

import rich.console

from cifar_exp.process import discard_output


class Console(rich.console.Console):
    """Rich's, which discards what nobody reads; rich itself would end the process."""

    def on_broken_pipe(self) -> None:
        """Discard this and all further output."""
        discard_output(self.file)
