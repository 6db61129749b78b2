"""The search path plugin: while cifar-exp composes, the user's own configs precede the shipped ones."""

from hydra.core.config_search_path import ConfigSearchPath, SearchPathQuery
from hydra.plugins.search_path_plugin import SearchPathPlugin

from cifar_exp.config.location import users_conf_dir


class UsersConfigs(SearchPathPlugin):
    """Hydra's `--config-dir` comes after the application's configs, so that it cannot replace one of them."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Insert the user's directory before the shipped configs."""
        directory = users_conf_dir()
        if directory is not None:
            search_path.prepend("cifar-exp", f"file://{directory}", SearchPathQuery(provider="main"))
