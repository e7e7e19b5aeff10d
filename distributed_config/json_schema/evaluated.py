"""The members and elements that keywords evaluate, in the words of draft 2020-12."""

from dataclasses import dataclass, field

from distributed_config.json_schema.outline import Node
from distributed_config.json_schema.patterns import fits


@dataclass
class Evaluated:
    """The members or elements that the keywords of a place, and of all beside it, evaluate.

    ``unevaluatedProperties`` and ``unevaluatedItems`` apply to the others.
    """

    names: set[str] = field(default_factory=set)
    patterns: set[str] = field(default_factory=set)
    all_members: bool = False
    positions: int = 0
    all_elements: bool = False

    def has(self, name: str) -> bool:
        """Whether the member ``name`` is evaluated."""
        return (
            self.all_members
            or name in self.names
            or any(fits(pattern, name) for pattern in self.patterns)
        )

    def add(self, node: Node, *, unevaluated: bool) -> None:
        """Add what ``node`` itself evaluates; with its ``unevaluated…`` if ``unevaluated``."""
        self.names |= node.properties.keys()
        self.patterns |= node.patterned.keys()
        self.positions = max(self.positions, len(node.positions))
        self.all_members |= node.additional is not None
        self.all_elements |= node.rest is not None
        if unevaluated:
            self.all_members |= "unevaluatedProperties" in node.schema
            self.all_elements |= "unevaluatedItems" in node.schema
