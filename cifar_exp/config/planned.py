"""The network that a config asks for, planned for its data and within its budget, before anything is read or made."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from cifar_exp.config.command_schema import SummaryConfig
from cifar_exp.config.schema import TrainConfig
from cifar_exp.data.describe import DataInfo, describe
from cifar_exp.network.cost import check_budget
from cifar_exp.network.plan import Plan
from cifar_exp.network.planner import plan_network

Config = TypeVar("Config", TrainConfig, SummaryConfig)


@dataclass(frozen=True)
class Planned(Generic[Config]):
    """A config, and what is known of its data and its network."""

    config: Config
    data_info: DataInfo
    plan: Plan


def planned(config: Config) -> Planned[Config]:
    """The network of `config`, within its budget.

    Raises UserError for data that is not there, for shapes that do not fit, and for a budget exceeded.
    """
    data_info = describe(config.data)
    plan = plan_network(config.model, data_info.input_shape, data_info.num_classes)
    check_budget(plan, config.budget)
    return Planned(config, data_info, plan)
