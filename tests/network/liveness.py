"""The memory that a network needs at inference, counted on the graph that torch.fx traces from its real modules.

It shares nothing with the plan: it knows which modules write over their input and which values the graph still reads.
"""

from collections.abc import Iterator
from itertools import chain

import torch
from torch import Tensor, fx, nn

from cifar_exp.network.dropout import ByteDropout
from cifar_exp.network.modules import ChannelNorm, LayerScale

CONTAINERS = {"Network", "Layer", "NamedModules", "ModuleDict", "Sequential"}
ONE_STEP = (nn.ZeroPad2d, nn.AvgPool2d, nn.MaxPool2d)  # the first of a Sequential that is one step as a whole
STEPS = {
    *("Conv2d", "DepthwiseConv", "StridedPointwise", "SplitChannels", "PadShortcut"),
    *("Linear", "Sequential", "MaxPool2d", "AvgPool2d"),
}


class Tracer(fx.Tracer):
    """Looks into the containers of the network, and into nothing that is one step."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if isinstance(m, nn.Sequential):
            return isinstance(m[0], ONE_STEP)
        return type(m).__name__ not in CONTAINERS


class Sizes(fx.Interpreter):
    """The number of elements of each value of the graph."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.of: dict[fx.Node, int] = {}

    def run_node(self, n: fx.Node) -> Tensor:
        value: Tensor = super().run_node(n)
        self.of[n] = value.numel()
        return value


def live_bytes(network: nn.Module, shape: tuple[int, ...]) -> Iterator[int]:
    """Yield what is alive at each step for one image of `shape`, one byte per element."""
    graph = Tracer().trace(network.eval())
    sizes = Sizes(fx.GraphModule(network, graph))
    with torch.no_grad():
        sizes.run(torch.zeros(1, *shape))
    nodes = [node for node in graph.nodes if node.op != "output"]
    position = {node: index for index, node in enumerate(graph.nodes)}
    memory: dict[fx.Node, fx.Node] = {}  # the value whose memory a value lies in
    held: dict[fx.Node, int] = {}  # bytes of each piece of memory

    def last_read(owner: fx.Node) -> int:
        values = [node for node in memory if memory[node] is owner]
        return max(chain((position[user] for node in values for user in node.users), (position[owner],)))

    for node in nodes:
        inputs = [memory[value] for value in node.all_input_nodes]
        module = dict(network.named_modules())[str(node.target)] if node.op == "call_module" else None
        if isinstance(module, nn.Identity | ByteDropout):
            memory[node] = inputs[0]
            continue
        steps = type(module).__name__ in STEPS
        overwrites = inputs and not steps and last_read(inputs[0]) <= position[node]
        memory[node] = inputs[0] if overwrites else node
        if overwrites:
            held[inputs[0]] = sizes.of[node]
            continue
        held[node] = sizes.of[node]
        if inputs:
            assert steps or isinstance(module, nn.BatchNorm2d | ChannelNorm | LayerScale) or "activation" in node.name
            yield sum(size for owner, size in held.items() if owner is node or last_read(owner) >= position[node])
