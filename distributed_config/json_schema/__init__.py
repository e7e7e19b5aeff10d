"""JSON Schemas: what they allow, what they cost, how two of them differ. No I/O.

Drafts 7 and 2020-12 are understood. jsonschema-rs compiles and checks; what is here keeps a schema
within bounds before it gets there, and says in words what a document breaks.
"""

from distributed_config.json_schema.compatibility import Compatibility, Reason, compare
from distributed_config.json_schema.coverage import covers
from distributed_config.json_schema.defaults import filled
from distributed_config.json_schema.loading import SchemaLimits, properties_at, schema_of
from distributed_config.json_schema.secret_marks import (
    Marking,
    State,
    marking_of,
    marks_all,
    marks_path,
    may_mark,
    relaxed,
)
from distributed_config.json_schema.validator import Checker, checker_of

__all__ = [
    "Checker",
    "Compatibility",
    "Marking",
    "Reason",
    "SchemaLimits",
    "State",
    "checker_of",
    "compare",
    "covers",
    "filled",
    "marking_of",
    "marks_all",
    "marks_path",
    "may_mark",
    "properties_at",
    "relaxed",
    "schema_of",
]
