"""The Ray cluster on which workers are tasks."""

import logging
import os
from collections.abc import Mapping
from typing import Any

import ray

from cifar_exp.errors import UserError

OF_A_NEW_CLUSTER = {"object_store_memory": 80 * 2**20, "include_dashboard": False}  # workers exchange no objects


def connect(options: Mapping[str, Any]) -> None:
    """Connect this process to a Ray cluster, or start one on this machine.

    The launcher would do so itself, once in each of the threads that start workers: as many clusters would start at
    the same time.

    Args:
        options: `hydra.launcher.ray.init`, the arguments of `ray.init`.

    Raises:
        UserError: there is no such cluster, or none can be started.
    """
    if ray.is_initialized():
        return
    is_new = options.get("address") in (None, "local") and "RAY_ADDRESS" not in os.environ
    defaults = {"log_to_driver": False, "logging_level": logging.ERROR, **(OF_A_NEW_CLUSTER if is_new else {})}
    try:
        ray.init(**{**defaults, **options})
    except Exception as error:  # of many classes, a bare Exception among them
        raise UserError(f"hydra.launcher.ray.init: no Ray cluster.\n{str(error).splitlines()[0]}") from None
