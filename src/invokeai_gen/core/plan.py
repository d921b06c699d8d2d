"""`WorkflowPlan`: everything that is known of a workflow before its values are chosen.

The plan is plain data. `invokeai_gen.compiler` compiles one from a workflow file and the node templates of a server,
`invokeai_gen.codegen` writes one to disk beside each generated module, and this package alone can execute it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Self, TypeAlias

from invokeai_gen.errors import InvokeAIGenError
from invokeai_gen.js_json import UNSET, Unset
from invokeai_gen.limits import ANY_MODEL, ModelLimits, ValueLimits

JsonValue: TypeAlias = Any
"""A value as `json.loads` gives it. (A recursive alias would be truer, but forces a cast at every use.)"""

Cardinality: TypeAlias = Literal["SINGLE", "COLLECTION", "SINGLE_OR_COLLECTION"]
OutputRole: TypeAlias = Literal["user", "result", "debug"]
AssetKind: TypeAlias = Literal["board", "image", "model", "video"]
ASSET_KINDS: Final[Mapping[str, AssetKind]] = {
    "ImageField": "image",
    "VideoField": "video",
    "BoardField": "board",
    "ModelIdentifierField": "model",
}
"""The kind of asset that a field type refers to."""

PLAN_FORMAT: Final = 1
"""Increased whenever an older runtime cannot execute a newer plan, or the other way round."""


_HANDLE_TYPES: Final = {"ImageField": "ImageOutput", "VideoField": "VideoOutput", "LatentsField": "LatentsOutput"}
_VALUE_TYPES: Final = {"ColorField": "Color", "BoundingBoxField": "BoundingBox"}
_PLAIN_TYPES: Final = {"StringField": "str", "IntegerField": "int", "FloatField": "float", "BooleanField": "bool"}


class PlanFormatError(InvokeAIGenError, ValueError):
    """A plan file that is damaged, or written by another version."""


class NotAPlanError(PlanFormatError):
    """A file that is not a plan."""


@dataclass(frozen=True, slots=True)
class PlanField:
    """One input field of a node, in the order in which the GUI writes it into the request."""

    name: str
    value: JsonValue | Unset = UNSET
    is_board: bool = False
    is_connected: bool = False
    """Fed by an edge of the graph, so that its own value is never sent."""
    is_called_input: bool = False
    """An input of the workflow that a `call_saved_workflow` node calls."""
    asset: AssetKind | None = None
    """What the value refers to on the server; `None` for any other value, and in older plans."""
    label: str = ""
    """What the GUI calls the field; only set for one that refers to an asset."""


@dataclass(frozen=True, slots=True)
class PlanNode:
    """One invocation node. Batch and generator nodes are here too, but do not enter the graph."""

    id: str
    type: str
    label: str
    """The user's own label, or the template's title."""
    fields: tuple[PlanField, ...]
    use_cache: bool = True
    is_intermediate: bool = True
    is_executable: bool = True


@dataclass(frozen=True, slots=True)
class PlanEdge:
    """One edge of the graph, connectors already resolved to their real source."""

    source_node_id: str
    source_field: str
    target_node_id: str
    target_field: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraints(ValueLimits):
    """The limits of a value: those of the schema, narrowed by the form. `None` means no limit.

    Those of a number or a string, in characters, apply to each one of a collection, `min_items`/`max_items` to its size.
    """

    min_items: int | None = None
    max_items: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldLimits:
    """What the server accepts in a field of a node, according to the schema."""

    field_type: str = ""
    """InvokeAI's name of the type; empty if it is not known."""
    constraints: Constraints = Constraints()
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PlanBatch:
    """A batch node. Its list is not a value of the graph: it makes one queue item of each of its items."""

    node_id: str
    field_name: str
    """The field that holds the list: `strings`, `integers`, `floats` or `images`."""
    targets: tuple[tuple[str, str], ...]
    """`(node id, field name)` of every field it feeds, in the order of the edges."""
    generator_node_id: str | None = None
    """The generator node that replaces the list, if one is connected."""
    target_limits: tuple[FieldLimits, ...] = ()
    """What the fields in `targets` accept, in the same order; empty in older plans."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedInput:
    """One field of the workflow's form, as the GUI would show it."""

    index: int
    """Position in the form, depth first from its root element, counted from 0."""
    label: str
    """What the GUI shows: the user's label, else the template's title."""
    node_id: str
    node_type: str
    node_label: str
    """The user's label of the node; empty for a node without a label."""
    node_title: str
    """The title of the node type."""
    field_name: str
    field_type: str
    """InvokeAI's name of the type: `IntegerField`, `ModelIdentifierField`, `EnumField`, or one of a custom node."""
    cardinality: Cardinality = "SINGLE"
    description: str = ""
    sections: tuple[str, ...] = ()
    """The form's headings and texts that stand above this field, outermost first."""
    required: bool = False
    """The node cannot run without a value."""
    value: JsonValue | Unset = UNSET
    """The value in the file, as it would be sent; `UNSET` if it is missing or must not be sent."""
    fed_by: str | None = None
    """Label of the node whose output feeds this field; such a field cannot be set."""
    constraints: Constraints = Constraints()
    choices: tuple[str, ...] = ()
    choice_labels: Mapping[str, str] = field(default_factory=dict)
    models: ModelLimits = ANY_MODEL
    name: str = ""
    """The Python name. Empty until names have been assigned."""

    @property
    def binding(self) -> tuple[str, str]:
        """`(node id, field name)`, which identifies the input even if its label changes."""
        return self.node_id, self.field_name


@dataclass(frozen=True, slots=True)
class OutputType:
    """The Python type of what a node returns; as text, its annotation (`int`, `list[ImageOutput]`)."""

    name: str
    """`ImageOutput`, `VideoOutput`, `LatentsOutput`, `ConditioningOutput`, `MaskOutput`, `Color`, `BoundingBox`,
    `NodeResult`, `int`, `float`, `str`, `bool`."""
    is_list: bool = False

    def __str__(self) -> str:
        return f"list[{self.name}]" if self.is_list else self.name

    @property
    def is_plain(self) -> bool:
        """Whether the value is a number, string or boolean, or a list of them."""
        return self.name in _PLAIN_TYPES.values()

    @property
    def is_media(self) -> bool:
        """Whether there are files to download: an image or video, or a list of images."""
        return self.name in ("ImageOutput", "VideoOutput")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedOutput:
    """A node with a result that gets a name."""

    node_id: str
    node_type: str
    node_label: str
    node_title: str
    output_type: str
    """The `type` of what the node returns, such as `image_output` or `integer_collection_output`."""
    output_fields: Mapping[str, str]
    """Field name to InvokeAI type of what the node returns; collections as `list[...]`."""
    role: OutputRole
    """`user`: its board is on the form. `result`: not intermediate, or the end of a chain. `debug`: an intermediate image."""
    is_iterated: bool = False
    """It comes after an `iterate` node and so runs any number of times."""
    board_input: int | None = None
    """Index of the input that is this node's board."""
    sections: tuple[str, ...] = ()
    """The form sections above that board."""
    name: str = ""
    """The Python name. Empty until names have been assigned."""

    @property
    def item_type(self) -> OutputType:
        """The Python type of one result of this node: the one rule for annotations and for decoding.

        An image, video, latents, mask or conditioning; for a node that returns a single number, string, boolean, color
        or box, or a collection of them or of images, that itself; `NodeResult` for everything else.
        """
        texts = self.output_fields.values()
        types = [(text.removeprefix("list[").removesuffix("]"), text.startswith("list[")) for text in texts]
        for field_type, name in _HANDLE_TYPES.items():
            if (field_type, False) in types:
                return OutputType(name)
        if len(types) == 1:
            ((field_type, is_list),) = types
            known = _PLAIN_TYPES | _HANDLE_TYPES | _VALUE_TYPES
            if field_type in known:
                return OutputType(known[field_type], is_list)
            if field_type.endswith("ConditioningField") and not is_list:
                return OutputType("ConditioningOutput")
        if self.output_fields.get("mask") == "TensorField":
            return OutputType("MaskOutput")
        return OutputType("NodeResult")

    @property
    def result_type(self) -> str:
        """The annotation of the attribute in `Outputs`: `item_type`, or a list of it behind an `iterate` node."""
        return f"list[{self.item_type}]" if self.is_iterated else str(self.item_type)


@dataclass(frozen=True, slots=True)
class RetiredName:
    """A name that an earlier version of the workflow had, kept in case its node comes back."""

    node_id: str
    field_name: str | None
    """`None` for the name of an output."""
    label: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowInfo:
    """Metadata of the file, and the server that it was compiled for."""

    name: str
    author: str = ""
    description: str = ""
    version: str = ""
    contact: str = ""
    tags: str = ""
    notes: str = ""
    source: str = ""
    """File name, without any folder."""
    sha256: str = ""
    """Hash of the file's bytes with line ends made `\\n`."""
    server_version: str = ""
    """Version of InvokeAI whose schema it was compiled against; empty if unknown."""
    schema_fingerprint: str = ""
    """Hash of the node templates that this workflow uses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowPlan:
    """A workflow, ready to be filled with values and submitted."""

    info: WorkflowInfo
    nodes: tuple[PlanNode, ...]
    edges: tuple[PlanEdge, ...]
    batches: tuple[PlanBatch, ...]
    workflow: JsonValue | None
    """The workflow as the server stores it with each image; `None` where the GUI would send null."""
    inputs: tuple[PlannedInput, ...]
    outputs: tuple[PlannedOutput, ...]
    retired: tuple[RetiredName, ...] = ()
    """Python names of inputs and outputs that are gone."""
    node_types: Mapping[str, JsonValue] = field(default_factory=dict)
    """Version, inputs and outputs of each node type when the plan was compiled; empty in older plans."""

    @property
    def node_labels(self) -> dict[str, str]:
        """What the GUI calls each node, by its id."""
        return {node.id: node.label for node in self.nodes}

    def node(self, node_id: str) -> PlanNode:
        """Return the node with that id. Raises `KeyError`."""
        for node in self.nodes:
            if node.id == node_id:
                return node
        raise KeyError(node_id)

    def to_dict(self) -> dict[str, JsonValue]:
        """Return the plan as JSON data, without values that are the default of their field."""
        from invokeai_gen.core.plan_text import encode

        return {"format": PLAN_FORMAT, **encode(self)}

    def to_json(self) -> str:
        """Return the plan as JSON text, one line for each node, edge, input and output so that diffs stay readable."""
        from invokeai_gen.core.plan_text import text

        return text(self.to_dict(), levels=2) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Return the plan in the text of a file: the one reader of plan files.

        Raises `NotAPlanError` for a text that is JSON of another kind or not JSON at all, and `PlanFormatError` for a
        plan that is damaged or of another version.
        """
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise NotAPlanError(f"not JSON: {error}") from error
        if not isinstance(data, dict) or not {"format", "info", "nodes", "inputs"} <= data.keys():
            raise NotAPlanError("not the plan of a generated module")
        if data["format"] != PLAN_FORMAT:
            found = str(data["format"])[:20]
            raise PlanFormatError(f"a damaged plan, or one of another version: generate it again (format {found})")
        try:
            return cls(
                info=WorkflowInfo(**data["info"]),
                nodes=tuple(
                    PlanNode(**_with(node, fields=tuple(PlanField(**item) for item in node.get("fields", ()))))
                    for node in data["nodes"]
                ),
                edges=tuple(PlanEdge(**edge) for edge in data["edges"]),
                batches=tuple(_decode_batch(batch) for batch in data["batches"]),
                workflow=data.get("workflow"),
                inputs=tuple(_decode_input(item) for item in data["inputs"]),
                outputs=tuple(PlannedOutput(**_with(item, "sections")) for item in data["outputs"]),
                retired=tuple(RetiredName(**item) for item in data.get("retired", ())),
                node_types=data.get("node_types", {}),
            )
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise PlanFormatError(f"a damaged plan: generate it again ({error!r})") from error


def _with(data: Mapping[str, JsonValue], *tuples: str, **decoded: Any) -> dict[str, Any]:
    """Return the data of a plan file with some parts of it decoded, and some lists as tuples."""
    return {**data, **{name: tuple(data[name]) for name in tuples if name in data}, **decoded}


def _decode_batch(data: Mapping[str, JsonValue]) -> PlanBatch:
    limits = (
        FieldLimits(**_with(item, "choices", constraints=Constraints(**item.get("constraints", {}))))
        for item in data.get("target_limits", ())
    )
    targets = tuple((node, name) for node, name in data["targets"])
    return PlanBatch(**_with(data, targets=targets, target_limits=tuple(limits)))


def _decode_input(data: Mapping[str, JsonValue]) -> PlannedInput:
    models = {key: tuple(value) for key, value in data.get("models", {}).items()}
    constraints = Constraints(**data.get("constraints", {}))
    return PlannedInput(**_with(data, "sections", "choices", constraints=constraints, models=ModelLimits(**models)))
