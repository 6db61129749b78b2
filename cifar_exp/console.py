"""A console whose reader may leave: `cifar-exp train 2>&1 | head -1`."""

import rich.console

from cifar_exp.process import discard_output


class Console(rich.console.Console):
    """Rich's, which discards what nobody reads; rich itself would end the process."""

    @property
    def is_screen(self) -> bool:
        """Whether what is drawn can be drawn again: a terminal, and no file that FORCE_COLOR gives colours to."""
        return self.is_terminal and self.file.isatty()

    def on_broken_pipe(self) -> None:
        """Discard this and all further output."""
        discard_output(self.file)
