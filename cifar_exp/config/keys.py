"""The keys of a schema, in the user's terms: their names, and which values are valid."""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from functools import cache
from typing import Any

from pydantic import BaseModel

Location = Sequence[str | int]
Node = dict[str, Any]  # a part of a JSON schema

_TYPES = {
    "integer": "an integer",
    "number": "a number",
    "string": "a text",
    "boolean": "true or false",
    "object": "a mapping of keys to values",
    "null": "null",
}
_BOUNDS = (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<"))


@cache
def _json_schema(schema: type[BaseModel]) -> Node:
    return schema.model_json_schema()


class Keys:
    """The keys of one pydantic schema."""

    def __init__(self, schema: type[BaseModel]) -> None:
        self._root = _json_schema(schema)

    def names(self, parent: Location = ()) -> list[str]:
        """Return every dotted key below `parent`, of every variant of a group; none below names that are free."""
        return list(dict.fromkeys(self._names(self._node(parent)[0], "")))

    def path(self, location: Location) -> tuple[str, ...]:
        """Return the key that a pydantic error location refers to, without the union members it passes through."""
        return self._node(location)[1]

    def siblings(self, location: Location) -> list[str]:
        """Return the names that are known in place of the last part of `location`."""
        variants = [variant.get("properties", {}) for variant in self._variants(self._node(location[:-1])[0])]
        return list(dict.fromkeys(name for properties in variants for name in properties))

    def expected(self, location: Location) -> str:
        """Return what is valid at `location`: `an integer ≥ 1`, `one of adamw, sgd`."""
        return self._text(self._node(location)[0])

    def choices(self, location: Location) -> list[str]:
        """Return the fixed values that are valid at `location`, if it is a choice among such."""
        return [str(value) for variant in self._variants(self._node(location)[0]) for value in _constants(variant)]

    def _node(self, location: Location) -> tuple[Node, tuple[str, ...]]:
        node, path = self._root, []
        for part in location:
            step = self._step(node, part)
            if step is None:
                break
            node, is_key = step
            if is_key:
                path.append(str(part))
        return node, tuple(path)

    def _step(self, node: Node, part: str | int) -> tuple[Node, bool] | None:
        """Return the node below `part`, and whether `part` is a key (and not the tag of a union's member)."""
        node = self._resolve(node)
        tags = node.get("discriminator", {}).get("mapping", {})
        if part in tags:
            return {"$ref": tags[part]}, False
        for variant in self._variants(node):
            if isinstance(part, int) and "items" in variant:
                return variant["items"], False
            if part in variant.get("properties", {}):
                return variant["properties"][part], True
            if isinstance(variant.get("additionalProperties"), dict) and isinstance(part, str):
                return variant["additionalProperties"], True
        return None

    def _resolve(self, node: Node) -> Node:
        while "$ref" in node:
            node = self._root["$defs"][node["$ref"].rsplit("/", 1)[-1]]
        return node

    def _variants(self, node: Node) -> list[Node]:
        node = self._resolve(node)
        members = node.get("anyOf") or node.get("oneOf")
        return [variant for member in members for variant in self._variants(member)] if members else [node]

    def _names(self, node: Node, prefix: str) -> Iterator[str]:
        for variant in self._variants(node):
            for name, child in variant.get("properties", {}).items():
                yield prefix + name
                yield from self._names(child, f"{prefix}{name}.")

    def _text(self, node: Node) -> str:
        variants = self._variants(node)
        constants = [_literal(value) for variant in variants for value in _constants(variant)]
        texts = [_one_of(list(dict.fromkeys(constants)))] if constants else []
        texts += [self._variant_text(variant) for variant in variants if not _constants(variant)]
        return " or ".join(dict.fromkeys(texts))

    def _variant_text(self, node: Node) -> str:
        if node.get("type") == "array":
            items = node.get("items")
            return f"a list, each {self._text(items)}" if items else "a list"
        kind = _TYPES.get(node.get("type", ""), "a value")
        bounds = [f"{sign} {node[name]:.10g}" for name, sign in _BOUNDS if name in node]
        return " ".join([kind, " and ".join(bounds)]).strip()


def _constants(node: Node) -> list[Any]:
    return [node["const"]] if "const" in node else list(node.get("enum", []))


def _literal(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _one_of(values: list[str]) -> str:
    return values[0] if len(values) == 1 else f"one of {', '.join(values)}"


def key_hint(given: str, siblings: Sequence[str], known: Sequence[str]) -> str:
    """Return ` Did you mean 'trainer.max_epochs'?` where a key is near, else ` Known: lr, momentum.`, the siblings.

    Args:
        given: an unknown dotted key.
        siblings: the names that are known in its place.
        known: all dotted keys.
    """
    parent, dot, _ = given.rpartition(".")
    if given in known:
        return f" Another {parent}=… has it; this one has: {', '.join(siblings)}."
    near = _nearest_key(given, [*(parent + dot + name for name in siblings), *known])
    if near is not None:
        return f" Did you mean '{near}'?"
    return f" Known: {', '.join(siblings)}." if siblings else ""


def _nearest_key(given: str, known: Sequence[str]) -> str | None:
    """Return the known dotted key nearest to `given`: the same name elsewhere, a neighbour, or a similar one."""
    parent, _, leaf = given.rpartition(".")
    elsewhere = [key for key in known if key.rpartition(".")[2] == leaf]
    if not parent and len(elsewhere) == 1:
        return elsewhere[0]
    neighbours = {key.rpartition(".")[2]: key for key in known if key.rpartition(".")[0] == parent}
    if near := get_close_matches(leaf, list(neighbours), n=1, cutoff=0.6):
        return neighbours[near[0]]
    others = [key for key in known if not given.startswith(f"{key}.")]
    if near := get_close_matches(given, others, n=1, cutoff=0.75):
        return near[0]
    return elsewhere[0] if len(elsewhere) == 1 else None
