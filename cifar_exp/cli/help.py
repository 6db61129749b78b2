"""What `cifar-exp COMMAND --help` prints, by the template in `conf/hydra/help/command.yaml`."""

from string import Template
from textwrap import fill, indent

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from cifar_exp.config.compose import Composer

WIDTH = 110


def command_help(composer: Composer, cfg: DictConfig, command: str) -> str:
    """Return the help text: what the command does, examples, its groups with their options, its keys."""
    HydraConfig.instance().set_config(cfg)
    help_config = cfg.hydra.help
    return Template(help_config.template).safe_substitute(
        EXAMPLES=indent(help_config.footer.strip(), "  "),
        GROUPS=_groups(composer, cfg, command),
        KEYS=_keys(cfg),
    )


def _groups(composer: Composer, cfg: DictConfig, command: str) -> str:
    choices = reversed(cfg.hydra.runtime.choices.items())  # Hydra reads a defaults list from its end
    chosen = {group: option for group, option in choices if not group.startswith("hydra/")}
    if command == "train":
        chosen["sweep"] = None
    options = {group: names for group in chosen if (names := composer.options(group))}
    width = max((len(group) for group in options), default=0)
    lines = [_line(group.ljust(width), names, chosen[group]) for group, names in options.items()]
    return "\n".join(lines) or "  (none)"


def _line(label: str, options: list[str], chosen: str | None) -> str:
    words = " ".join(f"[{option}]" if option == chosen else option for option in options)
    return fill(f"{label}  {words}", WIDTH, initial_indent="  ", subsequent_indent=" " * (len(label) + 4))


def _keys(cfg: DictConfig) -> str:
    values = OmegaConf.to_container(cfg, resolve=False)
    assert isinstance(values, dict)
    names = [str(key) + (".*" if isinstance(value, dict) else "") for key, value in values.items() if key != "hydra"]
    return fill("  ".join(names), WIDTH, initial_indent="  ", subsequent_indent="  ")
