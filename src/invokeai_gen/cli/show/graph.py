"""The graph of a workflow as a picture: Mermaid text or SVG. Labels are foreign text and can be nothing but text."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from invokeai_gen.core.plan import WorkflowPlan

_MAX_LABEL: Final = 40
_SWEEPS: Final = 4
_WIDTH: Final = 210
_LINE: Final = 17
_LANE: Final = 6
_GAP_X: Final = 70
_GAP_Y: Final = 22
_MARGIN: Final = 24
_PLAIN: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 .,_-+/()")
_STYLE: Final = """
.node rect { fill: #f4f4f5; stroke: #71717a; }
.input rect { fill: #e0f2fe; stroke: #0284c7; }
.output rect { fill: #dcfce7; stroke: #16a34a; }
.batch rect { stroke-dasharray: 5 3; }
text { font: 12px sans-serif; fill: #18181b; }
.type { fill: #71717a; font-size: 10px; }
.set { fill: #0369a1; font-size: 10px; }
path { fill: none; stroke: #a1a1aa; stroke-width: 1.3; }
"""


Spot: TypeAlias = str | tuple[str, str, int]
"""A place in a layer: a node by its id, or the lane of a line, by its two ends and the layer."""


@dataclass(frozen=True, slots=True)
class Box:
    """A node as it is drawn."""

    id: str
    label: str
    type: str
    inputs: tuple[str, ...]
    """Names of the inputs that are set on it."""
    is_output: bool
    is_batch: bool


@dataclass(frozen=True, slots=True)
class Graph:
    """What is drawn: boxes, and lines from one box to another with the names of the fields they join."""

    title: str
    boxes: tuple[Box, ...]
    lines: dict[tuple[str, str], tuple[str, ...]]


def graph_of(plan: WorkflowPlan) -> Graph:
    """The graph of a plan whose inputs have names: its nodes, batches and generators, and what feeds what."""
    inputs: dict[str, list[str]] = {}
    for planned in plan.inputs:
        if planned.fed_by is None:
            inputs.setdefault(planned.node_id, []).append(planned.name)
    results = {output.node_id for output in plan.outputs if output.role != "debug"}
    boxes = tuple(
        Box(node.id, node.label, node.type, tuple(inputs.get(node.id, ())), node.id in results, not node.is_executable)
        for node in plan.nodes
    )
    known = {box.id for box in boxes}
    lines: dict[tuple[str, str], list[str]] = {}
    for edge in plan.edges:
        lines.setdefault((edge.source_node_id, edge.target_node_id), []).append(edge.target_field)
    for batch in plan.batches:
        for target, field in batch.targets:
            lines.setdefault((batch.node_id, target), []).append(field)
        if batch.generator_node_id is not None:
            lines.setdefault((batch.generator_node_id, batch.node_id), []).append(batch.field_name)
    return Graph(
        plan.info.name or plan.info.source,
        boxes,
        {ends: tuple(fields) for ends, fields in lines.items() if known.issuperset(ends)},
    )


def mermaid(graph: Graph) -> str:
    """The graph as a Mermaid flowchart, for Markdown files and https://mermaid.live."""
    ids = {box.id: f"n{index}" for index, box in enumerate(graph.boxes)}
    lines = ["flowchart LR"]
    for box in graph.boxes:
        text = "<br/>".join(map(_mermaid_text, filter(None, (box.label, box.type, ", ".join(box.inputs)))))
        shape = ("[[", "]]") if box.is_batch else ("([", "])") if box.is_output else ("[", "]")
        kind = "output" if box.is_output else "input" if box.inputs else ""
        lines.append(f'    {ids[box.id]}{shape[0]}"{text}"{shape[1]}{f":::{kind}" if kind else ""}')
    for (source, target), fields in graph.lines.items():
        lines.append(f'    {ids[source]} -->|"{_mermaid_text(", ".join(fields))}"| {ids[target]}')
    lines += ["    classDef input fill:#e0f2fe,stroke:#0284c7,color:#18181b"]
    lines += ["    classDef output fill:#dcfce7,stroke:#16a34a,color:#18181b"]
    return "\n".join(lines) + "\n"


def _mermaid_text(text: str) -> str:
    """Everything but plain letters as an entity, which Mermaid never reads as syntax, markup or Markdown."""
    return "".join(char if char in _PLAIN else f"#{ord(char)};" for char in _short(text))


def svg(graph: Graph) -> str:
    """The graph as an SVG file: layers from left to right, no scripts, nothing loaded from elsewhere."""
    layers = _layers(graph)
    heights = {box.id: _LINE * (2 + bool(box.inputs)) + 12 for box in graph.boxes}
    columns = [sum(_height(spot, heights) + _GAP_Y for spot in layer) - _GAP_Y for layer in layers]
    tallest = max(columns, default=0)
    places: dict[Spot, tuple[int, int]] = {}
    for column, layer in enumerate(layers):
        y = _MARGIN + 30 + (tallest - columns[column]) // 2
        for spot in layer:
            places[spot] = (_MARGIN + column * (_WIDTH + _GAP_X), y)
            y += _height(spot, heights) + _GAP_Y
    width = 2 * _MARGIN + max(1, len(layers)) * (_WIDTH + _GAP_X) - _GAP_X
    height = 2 * _MARGIN + 30 + tallest
    size = {"width": str(width), "height": str(height), "viewBox": f"0 0 {width} {height}"}
    root = ET.Element("svg", {"xmlns": "http://www.w3.org/2000/svg", **size})
    ET.SubElement(root, "style").text = _STYLE
    ET.SubElement(root, "rect", {"width": "100%", "height": "100%", "fill": "#ffffff"})
    _text(root, _MARGIN, _MARGIN + 8, graph.title, limit=100)
    for (source, target), fields in graph.lines.items():
        path = ET.SubElement(root, "path", {"d": _curve(_way(places, heights, source, target))})
        ET.SubElement(path, "title").text = _clean(", ".join(fields))
    for box in graph.boxes:
        _draw(root, box, places[box.id], heights[box.id])
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"


def _draw(root: ET.Element, box: Box, place: tuple[int, int], height: int) -> None:
    kinds = ["node"] + ["output"] * box.is_output + ["input"] * (bool(box.inputs) and not box.is_output)
    group = ET.SubElement(root, "g", {"class": " ".join(kinds + ["batch"] * box.is_batch)})
    x, y = place
    size = {"x": str(x), "y": str(y), "width": str(_WIDTH), "height": str(height), "rx": "6"}
    ET.SubElement(group, "title").text = _clean(f"{box.label} ({box.type}, id {box.id})")
    ET.SubElement(group, "rect", size)
    _text(group, x + 10, y + 19, box.label, limit=30)
    _text(group, x + 10, y + 19 + _LINE, box.type, "type")
    if box.inputs:
        _text(group, x + 10, y + 19 + 2 * _LINE, ", ".join(box.inputs), "set")


def _text(parent: ET.Element, x: int, y: int, text: str, kind: str = "", limit: int = _MAX_LABEL) -> None:
    attributes = {"x": str(x), "y": str(y), **({"class": kind} if kind else {})}
    ET.SubElement(parent, "text", attributes).text = _clean(_short(text, limit))


def _height(spot: Spot, heights: dict[str, int]) -> int:
    return heights[spot] if isinstance(spot, str) else _LANE


def _way(
    places: dict[Spot, tuple[int, int]], heights: dict[str, int], source: str, target: str
) -> list[tuple[int, int]]:
    """The points that a line goes through: out of its source, along its lanes, into its target."""
    (x, y), (x2, y2) = places[source], places[target]
    points = [(x + _WIDTH, y + heights[source] // 2)]
    lanes = sorted(spot for spot in places if isinstance(spot, tuple) and spot[:2] == (source, target))
    for lane in lanes:
        x, y = places[lane]
        points += [(x, y + _LANE // 2), (x + _WIDTH, y + _LANE // 2)]
    return [*points, (x2, y2 + heights[target] // 2)]


def _curve(points: list[tuple[int, int]]) -> str:
    """An SVG path: level through the layers, bent between them."""
    x, y = points[0]
    path = [f"M{x},{y}"]
    for index, (x2, y2) in enumerate(points[1:]):
        bend = max(30, abs(x2 - x) // 2)
        path.append(f"L{x2},{y2}" if index % 2 else f"C{x + bend},{y} {x2 - bend},{y2} {x2},{y2}")
        x, y = x2, y2
    return " ".join(path)


def _layers(graph: Graph) -> list[list[Spot]]:
    """Each node right of everything that feeds it, and in its layer near to what it is joined with.

    A line that passes layers gets a lane in each, so that it does not run through boxes.
    """
    depth = _depths(graph)
    layers: list[list[Spot]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for node, layer in depth.items():
        layers[layer].append(node)
    before: dict[Spot, list[Spot]] = {}
    after: dict[Spot, list[Spot]] = {}
    for source, target in graph.lines:
        spots: list[Spot] = [source]
        for layer in range(depth[source] + 1, depth[target]):
            lane = (source, target, layer)
            layers[layer].append(lane)
            spots.append(lane)
        for one, next_one in itertools.pairwise([*spots, target]):
            after.setdefault(one, []).append(next_one)
            before.setdefault(next_one, []).append(one)
    for sweep in range(_SWEEPS):
        forward = sweep % 2 == 0
        for row_of_spots in layers if forward else reversed(layers):
            row = {spot: index for others in layers for index, spot in enumerate(others)}
            _sort_by_neighbours(row_of_spots, before if forward else after, row)
    return layers


def _depths(graph: Graph) -> dict[str, int]:
    """The layer of each node: length of the longest way to it. Nodes on a cycle come after all others."""
    feeds: dict[str, list[str]] = {box.id: [] for box in graph.boxes}
    fed_by: dict[str, list[str]] = {box.id: [] for box in graph.boxes}
    for source, target in graph.lines:
        feeds[source].append(target)
        fed_by[target].append(source)
    waiting = {node: len(sources) for node, sources in fed_by.items()}
    ready = [node for node, count in waiting.items() if not count]
    depth: dict[str, int] = dict.fromkeys(ready, 0)
    order = []
    while ready:
        node = ready.pop()
        order.append(node)
        for target in feeds[node]:
            depth[target] = max(depth.get(target, 0), depth[node] + 1)
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
    last = max((depth[node] for node in order), default=0)
    for node in reversed(order):
        if feeds[node] and not fed_by[node]:
            depth[node] = max(0, min(depth.get(target, last + 1) for target in feeds[node]) - 1)
    done = set(order)
    return {node: depth[node] if node in done else last + 1 for node in feeds}


def _sort_by_neighbours(spots: list[Spot], joined: dict[Spot, list[Spot]], row: dict[Spot, int]) -> None:
    """Those without neighbours on that side keep their place among the others."""

    def centre(spot: Spot) -> float:
        rows = [row[other] for other in joined.get(spot, ())]
        return sum(rows) / len(rows) if rows else row[spot]

    spots.sort(key=centre)


def _short(text: str, limit: int = _MAX_LABEL) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _clean(text: str) -> str:
    """Without what XML cannot carry; the writer of the XML escapes everything else."""
    return "".join(_xml_characters(text))


def _xml_characters(text: str) -> Iterable[str]:
    from invokeai_gen.cli.terminal import printable

    return (char if char.isprintable() else printable(char) for char in text)
