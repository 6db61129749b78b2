"""Batch norms in a form that 8-bit integers represent well; the network computes the same.

A batch norm is y = a·x + b for each channel. Behind a ReLU its factors would be applied to a tensor with one scale for
all channels, so they are moved backward into the weights, which have a scale for each channel:
a·relu(Wx + c) = sign(a)·relu(|a|Wx + |a|c). Weights that several layers share stay as they are, stored once. What
remains of a batch norm is folded into the dense layer behind it, or becomes an addition, or a 1×1 depthwise convolution
where factors remain.
"""

from typing import Any

import numpy as np

from cifar_exp.export.int8.graph import WEIGHTED, Floats, Graph, attribute

SCALES_WITH_ITS_INPUT = {"Relu", "LeakyRelu"}  # f(a·x) = a·f(x) for a > 0


def replace_batch_norms(graph: Graph) -> None:
    """Put simpler operations in the place of each batch norm."""
    for node in graph.nodes.copy():
        if node.op_type == "BatchNormalization":
            _replace(graph, node)


def _replace(graph: Graph, norm: Any) -> None:
    gamma, beta, mean, variance = (graph.values(norm, index) for index in range(1, 5))
    factor = gamma / np.sqrt(variance + attribute(norm, "epsilon", 1e-5))
    offset = (beta - mean * factor).astype(np.float32)
    if _scaled_backward(graph, norm.input[0], np.where(factor == 0, 1, np.abs(factor))):
        factor = np.sign(factor)
    factor = factor.astype(np.float32)
    if not _folded_forward(graph, norm, factor, offset) and _makes_map(graph, norm.input[0]):
        graph.nodes[graph.nodes.index(norm)] = _affine(graph, norm, factor, offset)


def _scaled_backward(graph: Graph, tensor: str, magnitude: Floats) -> bool:
    """Scale the weights behind `tensor`, through an activation; return False where something else reads them."""
    maker = graph.maker(tensor)
    while maker is not None and maker.op_type in SCALES_WITH_ITS_INPUT and len(graph.readers(tensor)) == 1:
        tensor = maker.input[0]
        maker = graph.maker(tensor)
    if maker is None or maker.op_type not in WEIGHTED:
        return False
    if len(graph.readers(tensor)) > 1 or graph.has_shared_weights(maker):
        return False
    graph.scale_outputs(maker, magnitude)
    return True


def _folded_forward(graph: Graph, norm: Any, factor: Floats, offset: Floats) -> bool:
    """Fold a norm of features into the dense layer that alone reads it; return False where there is none."""
    readers = graph.readers(norm.output[0])
    if len(readers) != 1 or readers[0].op_type != "Gemm":
        return False
    dense = readers[0]
    weights = graph.values(dense, 1)
    bias = graph.values(dense, 2) if len(dense.input) == 3 else 0
    del dense.input[2:]
    dense.input.append("")
    graph.set_values(dense, 2, bias + weights @ offset)
    graph.set_values(dense, 1, weights * factor)
    dense.input[0] = norm.input[0]
    graph.nodes.remove(norm)
    return True


def _affine(graph: Graph, norm: Any, factor: Floats, offset: Floats) -> Any:
    from onnx import helper

    source, result = norm.input[0], norm.output[0]
    if (factor == 1).all():
        node = helper.make_node("Add", [source, ""], [result])
        graph.set_values(node, 1, offset.reshape(1, -1, 1, 1))
        return node
    node = helper.make_node("Conv", [source, "", ""], [result], group=len(factor), kernel_shape=[1, 1])
    graph.set_values(node, 1, factor.reshape(-1, 1, 1, 1))
    graph.set_values(node, 2, offset)
    return node


def _makes_map(graph: Graph, tensor: str) -> bool:
    """Return whether `tensor` comes from a convolution, rather than from a dense layer."""
    maker = graph.maker(tensor)
    while maker is not None and maker.op_type not in WEIGHTED:
        maker = graph.maker(maker.input[0])
    return maker is not None and maker.op_type == "Conv"
