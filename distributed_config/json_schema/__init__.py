"""JSON Schemas: what they allow, what they cost, and how two of them differ. No I/O.

Drafts 7 and 2020-12 are supported. jsonschema-rs compiles schemas and validates documents; this
room keeps a schema within bounds before it gets there, and words the problems of a document.
"""

from distributed_config.json_schema.compatibility import Compatibility, compare
from distributed_config.json_schema.coverage import covers
from distributed_config.json_schema.defaults import fill_defaults
from distributed_config.json_schema.differences import Reason
from distributed_config.json_schema.loading import SchemaLimits, load_schema, properties_at
from distributed_config.json_schema.secret_marks import (
    SecretMarks,
    State,
    marking_of,
    marks_all,
    marks_path,
    may_mark,
    with_masks_allowed,
)
from distributed_config.json_schema.validator import Checker, validator_for

__all__ = [
    "Checker",
    "Compatibility",
    "Reason",
    "SchemaLimits",
    "SecretMarks",
    "State",
    "compare",
    "covers",
    "fill_defaults",
    "load_schema",
    "marking_of",
    "marks_all",
    "marks_path",
    "may_mark",
    "properties_at",
    "validator_for",
    "with_masks_allowed",
]
