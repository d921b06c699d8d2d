"""Whether two fields can be connected, by the GUI's rules for types."""

from __future__ import annotations

from dataclasses import replace

from invokeai_gen.schema import FieldType


def are_equal(first: FieldType, second: FieldType) -> bool:
    """Return whether two types are equal, each either as declared or as in the JSON schema."""
    if first == second:
        return True
    firsts = (replace(first, original=None), first.original)
    seconds = (replace(second, original=None), second.original)
    return any(one == other for one in firsts if one is not None for other in seconds if other is not None)


def can_connect(source: FieldType, target: FieldType) -> bool:
    """Return whether an output of type `source` may feed an input of type `target`."""
    if are_equal(source, target):
        return True
    if source.batch != target.batch:
        return False
    if source.name == "CollectionItemField" and not target.is_collection:
        return True
    if source.is_single and target.name == "CollectionItemField":
        return True
    if target.is_single_or_collection and source.name == target.name:
        return True
    if source.name == "CollectionField" and not target.is_single:
        return True
    if target.name == "CollectionField" and source.is_collection:
        return True
    if target.name == "AnyField":
        return True
    is_cardinality_fine = target.is_single_or_collection or (
        source.cardinality == target.cardinality and not source.is_single_or_collection
    )
    is_widening = (source.name, target.name) in {
        ("IntegerField", "FloatField"),
        ("IntegerField", "StringField"),
        ("FloatField", "StringField"),
    }
    return is_cardinality_fine and (is_widening or source.name == "AnyField")


def are_compatible(first: FieldType, second: FieldType) -> bool:
    """Return whether two types can carry the same value: one may feed the other, or is a collection of the other."""
    is_one_of_many = (
        first.name == second.name
        and first.batch == second.batch
        and {first.cardinality, second.cardinality} == {"SINGLE", "COLLECTION"}
    )
    return can_connect(first, second) or can_connect(second, first) or is_one_of_many
