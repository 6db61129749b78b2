"""The one network class: any plan, assembled from its layers."""

from torch import Tensor, nn

from cifar_exp.network.plan import Plan, PlannedLayer, PlannedStep

MAKES_NEW = (nn.Conv2d, nn.Linear, nn.BatchNorm1d, nn.BatchNorm2d, nn.LayerNorm)  # and need not keep what they made


class NamedModules(nn.ModuleDict):
    """A ModuleDict whose keys may be the names of its methods too: a user may call a layer `values` or `half`."""

    def add_module(self, name: str, module: nn.Module | None) -> None:
        """Register `module` under `name`, replacing what was there."""
        assert module is not None
        setattr(self, name, module)  # unlike ModuleDict's own, it takes the name of a method


class Layer(nn.Module):
    """The steps of one planned layer, in order."""

    def __init__(self, planned: PlannedLayer, shared: "Layer | None" = None) -> None:
        super().__init__()
        self.steps = nn.ModuleDict()
        for step in planned.steps:
            parts = self._parts(planned, step, shared)
            self.steps[step.name] = parts[0] if len(parts) == 1 else nn.Sequential(*parts)
        self.projection = nn.Identity() if planned.projection is None else planned.projection.module()
        self._overwrite_own_values()

    @staticmethod
    def _parts(planned: PlannedLayer, step: PlannedStep, shared: "Layer | None") -> list[nn.Module]:
        if shared is None or step.name != "conv":
            return [op.module() for op in step.ops]
        conv = shared.steps["conv"]
        theirs = list(conv.children()) if len(step.ops) > 1 else [conv]
        return [op.module() if planned.owns(op) else part for op, part in zip(step.ops, theirs, strict=True)]

    def _overwrite_own_values(self) -> None:
        """Let a ReLU work in place behind a convolution or a norm; before them it reads another layer's output."""
        own = False
        for module in self.steps.modules():
            if isinstance(module, nn.ReLU):
                module.inplace = own
            own = own or isinstance(module, MAKES_NEW)

    def forward(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        """(B, C, H, W) to (B, C', H', W'); `skip` is the output that is added, at its own shape."""
        for name, step in self.steps.items():
            x = x + self.projection(skip) if name == "add" else step(x)
        return x


class Network(nn.Module):
    """Layers with skips between them, then the head."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.layers = NamedModules()
        for planned in plan.layers:
            shared = self.layers[planned.share] if planned.share else None
            assert shared is None or isinstance(shared, Layer)
            self.layers[planned.name] = Layer(planned, shared)
        self.head = nn.ModuleDict({planned.name: Layer(planned) for planned in plan.head})
        self._skips = {planned.name: planned.skip for planned in plan.layers if planned.skip}

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits (B, num_classes) from normalised images (B, C, H, W)."""
        x, kept = images, {"input": images}
        for name, layer in self.layers.items():
            x = layer(x, kept[self._skips[name]] if name in self._skips else None)
            if name in self._skips.values():
                kept[name] = x
        for layer in self.head.values():
            x = layer(x)
        return x
