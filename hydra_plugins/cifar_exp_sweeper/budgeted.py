"""The sweeper plugin. Hydra imports it at every start, so all that is heavy is imported when a sweep begins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

if TYPE_CHECKING:
    from cifar_exp.sweep.adapter import Adapter


class BudgetedSweeper(Sweeper):
    """Searches under hard budgets, with Optuna; its settings are in `conf/hydra/sweeper/budgeted.yaml`."""

    def __init__(self, **settings: Any) -> None:
        """Keep the settings, which are checked when the sweep begins."""
        self._settings = settings
        self._adapter: Adapter | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Prepare the sweep; raises UserError for settings that make no sense."""
        from cifar_exp.sweep.adapter import Adapter

        self.hydra_context = hydra_context
        self.config = config
        self._adapter = Adapter(self._settings, hydra_context, task_function, config)

    def sweep(self, arguments: list[str]) -> Any:
        """Run the sweep; `arguments` are the command line's overrides of the application's own config."""
        assert self._adapter is not None
        return self._adapter.sweep(arguments)
