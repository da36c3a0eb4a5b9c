"""Where the services stand on the map: callers left of what they call, few crossings, lines that pass between the boxes.

A layered drawing in four steps: calls that close a circle are turned round, each service gets a layer (the longest way
from a caller without callers), a line over several layers gets a waypoint on each, and the layers are ordered by the
mean of their neighbours. Units are boxes; the page scales them.
"""

from typing import NamedTuple

import networkx as nx

ROUNDS = 8
"""Sweeps over the layers that order them: few crossings, in bounded time."""
SERVICES_DRAWN = 80
"""Services beyond which a drawing is a tangle, and the table serves better."""

Point = tuple[float, float]
Node = tuple[str, ...]


class Layout(NamedTuple):
    """A drawing: x counts layers from the left, y boxes from the top."""

    boxes: dict[str, Point]
    """Where the box of each service stands."""
    lines: list[list[Point]]
    """The way of each edge, in the order in which they were given, from caller to callee."""


def layered(edges: list[tuple[str, str]]) -> Layout | None:
    """Lay out who calls whom; None where there is nothing to draw, or too much."""
    names = list(dict.fromkeys(name for edge in edges for name in edge))
    if not names or len(names) > SERVICES_DRAWN:
        return None
    forward = _without_circles(names, edges)
    layer = {name: number for number, found in enumerate(nx.topological_generations(forward)) for name in found}
    ways: dict[tuple[str, str], list[Node]] = {}
    graph = nx.DiGraph()
    graph.add_nodes_from(((name,), {"layer": layer[name]}) for name in names)
    for caller, callee in forward.edges:
        way: list[Node] = [(caller,)]
        for between in range(layer[caller] + 1, layer[callee]):
            way.append((caller, callee, str(between)))
            graph.add_node(way[-1], layer=between)
        way.append((callee,))
        ways[caller, callee] = way
        nx.add_path(graph, way)
    heights = _ordered(graph)
    place = {node: (float(graph.nodes[node]["layer"]), heights[node]) for node in graph.nodes}
    lines = []
    for caller, callee in edges:
        if caller == callee:
            lines.append([place[(caller,)]])
        elif (caller, callee) in ways:
            lines.append([place[node] for node in ways[caller, callee]])
        else:
            lines.append([place[node] for node in reversed(ways[callee, caller])])
    return Layout({name: place[(name,)] for name in names}, lines)


def _without_circles(names: list[str], edges: list[tuple[str, str]]) -> nx.DiGraph:
    """The edges, those turned round that lead back to a service on the way to them. Walks without recursion."""
    graph = nx.DiGraph()
    graph.add_nodes_from(names)
    graph.add_edges_from((caller, callee) for caller, callee in edges if caller != callee)
    starts = [name for name in names if not graph.in_degree(name)] + names
    forward = nx.DiGraph()
    forward.add_nodes_from(names)
    done: set[str] = set()
    for start in starts:
        if start in done:
            continue
        done.add(start)
        way, on_way = [(start, iter(list(graph.successors(start))))], {start}
        while way:
            name, following = way[-1]
            for callee in following:
                if callee in on_way:
                    forward.add_edge(callee, name)
                    continue
                forward.add_edge(name, callee)
                if callee not in done:
                    done.add(callee)
                    on_way.add(callee)
                    way.append((callee, iter(list(graph.successors(callee)))))
                    break
            else:
                on_way.discard(name)
                way.pop()
    return forward


def _ordered(graph: nx.DiGraph) -> dict[Node, float]:
    """The height of each node: layers in the order that neighbours ask for, each centred on the tallest."""
    layers: dict[int, list[Node]] = {}
    for node, number in graph.nodes(data="layer"):
        layers.setdefault(number, []).append(node)
    height = {node: float(slot) for nodes in layers.values() for slot, node in enumerate(nodes)}
    tallest = max(len(nodes) for nodes in layers.values())
    for sweep in range(ROUNDS):
        rising = sweep % 2 == 0
        for number in sorted(layers, reverse=not rising):
            near = graph.predecessors if rising else graph.successors
            wanted = {
                node: sum(height[other] for other in found) / len(found)
                if (found := list(near(node)))
                else height[node]
                for node in layers[number]
            }
            layers[number].sort(key=lambda node: (wanted[node], node))
            offset = (tallest - len(layers[number])) / 2
            for slot, node in enumerate(layers[number]):
                height[node] = slot + offset
    return height
