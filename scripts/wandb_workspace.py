"""Saves the project's view in Weights & Biases: cost scatters, widths, curves, a run comparer.

Needs `pip install "cifar-exp[workspace]"` and `wandb login`, then:

    python scripts/wandb_workspace.py ENTITY cifar-exp --model model50k
"""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from cifar_exp.config.location import conf_dir
from cifar_exp.network.cost import COSTS

if TYPE_CHECKING:
    from wandb_workspaces.workspaces import Workspace

BEST = "best/val/acc"
SHOWN_COSTS = ("params", "macs", "peak_activation_bytes")
CURVES = {
    "Accuracy": ["val/acc", "train/acc"],
    "Loss": ["val/loss", "train/loss"],
    "Learning rate": ["lr"],
    "Images a second": ["images_per_second"],
}
MEDIA = ("test/most_wrong", "test/confusion", "test/class_acc", "layers")


def layout(entity: str, project: str, layers: Sequence[str] = ()) -> "Workspace":
    """Return the view of a project; `layers` are those whose widths make the parallel coordinates. Asks no server."""
    import wandb_workspaces.reports.v2 as wr
    import wandb_workspaces.workspaces as ws

    return ws.Workspace(
        entity=entity,
        project=project,
        name="cifar-exp",
        sections=[
            ws.Section(name="Accuracy against cost", panels=_scatters(wr), is_open=True),
            ws.Section(name="Widths", panels=[_widths(wr, layers)], is_open=True),
            ws.Section(name="Curves", panels=_curves(wr), is_open=True),
            ws.Section(name="Test", panels=[wr.MediaBrowser(title="Test", media_keys=list(MEDIA))], is_open=True),
            ws.Section(name="Runs compared", panels=[wr.RunComparer(diff_only="split")], is_open=False),
        ],
        settings=ws.WorkspaceSettings(x_axis="epoch", max_runs=50),
        runset_settings=ws.RunsetSettings(
            order=[ws.Ordering(ws.Summary(BEST), ascending=False)],
            pinned_columns=[f"summary:{key}" for key in (BEST, "test/acc", *SHOWN_COSTS)],
        ),
    )


def _scatters(wr: Any) -> list[Any]:
    return [
        wr.ScatterPlot(
            title=f"Validation accuracy against {COSTS[key]}", x=wr.SummaryMetric(key), y=wr.SummaryMetric(BEST)
        )
        for key in SHOWN_COSTS
    ]


def _widths(wr: Any, layers: Sequence[str]) -> Any:
    column = wr.ParallelCoordinatesPlotColumn
    widths = [column(metric=wr.Config(f"model.layers.{name}.channels"), display_name=name) for name in layers]
    ends = [
        column(metric=wr.SummaryMetric("params"), display_name="parameters"),
        column(metric=wr.SummaryMetric(BEST), display_name="validation accuracy"),
    ]
    return wr.ParallelCoordinatesPlot(title="Widths, cost and accuracy", columns=[*widths, *ends])


def _curves(wr: Any) -> list[Any]:
    return [wr.LinePlot(title=title, x="epoch", y=metrics) for title, metrics in CURVES.items()]


def layer_names(model: str) -> list[str]:
    """Return the layers of a shipped model."""
    return list(OmegaConf.load(conf_dir() / "model" / f"{model}.yaml").layers)


def main() -> None:
    """Save the view and print its address."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("entity", help="user or team")
    parser.add_argument("project", nargs="?", default="cifar-exp")
    parser.add_argument("--model", default="model50k", help="whose widths the parallel coordinates show")
    arguments = parser.parse_args()
    workspace = layout(arguments.entity, arguments.project, layer_names(arguments.model))
    workspace.save()
    print(workspace.url)


if __name__ == "__main__":
    main()
