"""The network that a config asks for, planned for its data and within its budget, before anything is read or made."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from cifar_exp.config.command_schema import SummaryConfig
from cifar_exp.config.messages import ConfigError
from cifar_exp.config.schema import TrainConfig
from cifar_exp.data.describe import DataInfo, describe
from cifar_exp.errors import UserError
from cifar_exp.network.cost import check_budget
from cifar_exp.network.plan import Plan
from cifar_exp.network.planner import plan_network
from cifar_exp.network.spec import unknown_sources

Config = TypeVar("Config", TrainConfig, SummaryConfig)


@dataclass(frozen=True)
class Planned(Generic[Config]):
    """A config, and what is known of its data and its network."""

    config: Config
    data_info: DataInfo
    plan: Plan


def planned(config: Config) -> Planned[Config]:
    """Return the network of `config`.

    Raises:
        UserError: data that is not there, a skip from an unknown layer, shapes that do not fit, an exceeded budget.
    """
    try:
        data_info = describe(config.data)
    except UserError as error:
        raise ConfigError([str(error), *unknown_sources(config.model.layers)]) from None
    plan = plan_network(config.model, data_info.input_shape, data_info.num_classes)
    check_budget(plan, config.budget)
    return Planned(config, data_info, plan)
