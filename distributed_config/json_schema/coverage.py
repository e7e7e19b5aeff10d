"""A check that one schema marks every place that another one marks, in every document.

A mark is the only protection of a secret that was stored before it was marked, and it decides how
the next one is stored. So the question is what *can* lose its mark: every member and every element
that a document might have is followed through both schemas, and where two patterns may or may not
match the same key, both cases are assumed.
"""

from collections.abc import Iterable, Iterator
from itertools import product

from distributed_config.json_schema.outline import Node, Part
from distributed_config.json_schema.secret_marks import SecretMarks, State, marking_of, may_mark

# Schemas can be written for which the pairs of places multiply. Beyond this many steps, about a
# tenth of a second, the answer is no: other writers wait for it.
_MOST_STEPS = 20_000

Step = tuple[State, State]


def covers(new: str, old: str) -> bool:
    """Whether the schema ``new`` marks everything that ``old`` marks, in every document.

    False where this cannot be proved: a mark too many costs less than a secret in the clear.
    """
    if new == old or not may_mark(old):
        return True
    return _Coverage(marking_of(new), marking_of(old)).holds()


class _Coverage:
    """A walk through all places of all documents, as the old and the new schema see them."""

    def __init__(self, after: SecretMarks, before: SecretMarks) -> None:
        self._after = after
        self._before = before

    def holds(self) -> bool:
        """Whether no place loses its mark."""
        seen: set[tuple[str, State]] = set()
        waiting = [(self._before.start, self._after.start)]
        steps = 0
        while waiting:
            was, now = waiting.pop()
            if self._after.is_secret(now):
                continue  # and so is everything inside
            if self._before.is_secret(was):
                return False
            # Each old schema marks by itself, so they are followed one by one: their combinations
            # would multiply.
            for pointer in was:
                if (pointer, now) in seen:
                    continue
                seen.add((pointer, now))
                for step in self._steps(self._before.node(pointer), now):
                    steps += 1
                    if steps > _MOST_STEPS:
                        return False
                    if step[0]:
                        waiting.append(step)
        return True

    def _steps(self, was: Node, now: State) -> Iterator[Step]:
        yield from self._to_named_members(was, now)
        yield from self._to_other_members(was, now)
        yield from self._to_elements(was, now)

    def _to_named_members(self, was: Node, now: State) -> Iterator[Step]:
        before = frozenset((was.pointer,))
        more = self._after.names(now) if any(_ways_to_others(was)) else set()
        # Sorted, so that a schema which runs out of steps does so every time.
        for name in sorted(more.union(was.properties)):
            yield self._before.member(before, name), self._after.member(now, name)

    def _to_other_members(self, was: Node, now: State) -> Iterator[Step]:
        """Yield the steps to members that no schema names; which patterns match is not known."""
        for part, matching, missing in _ways_to_others(was):
            before = self._before.closed([part])
            for after in self._least(now, matching, missing) if before else ():
                yield before, after

    def _least(self, now: State, matching: str | None, missing: Iterable[str]) -> Iterator[State]:
        """Yield the fewest marks that a member whose name ``matching`` matches can get.

        ``missing`` are patterns that do not match it.

        Of each schema one of its patterns matches, or else its ``additionalProperties`` applies.
        If more patterns match, more marks are added, and none goes.
        """
        nodes = [self._after.node(pointer) for pointer in now]
        always = [part for node in nodes for part in node.all_members]
        for choice in product(*(_choices(node, matching, missing) for node in nodes)):
            yield self._after.closed([*always, *(part for part in choice if part is not None)])

    def _to_elements(self, was: Node, now: State) -> Iterator[Step]:
        before = frozenset((was.pointer,))
        for position in range(max(len(was.positions), self._after.positions(now)) + 1):
            yield self._before.element(before, position), self._after.element(now, position)


def _ways_to_others(node: Node) -> Iterator[tuple[Part, str | None, Iterable[str]]]:
    """Yield what applies to members that have no name in ``node``.

    Each comes with a pattern that matches their names, and patterns that do not.
    """
    for pattern, part in node.patterned.items():
        yield part, pattern, ()
    if node.additional is not None:
        yield node.additional, None, node.patterned
    for part in node.all_members:
        yield part, None, ()


def _choices(node: Node, matching: str | None, missing: Iterable[str]) -> list[Part | None]:
    if matching in node.patterned:
        return [node.patterned[matching]]
    possible = [part for pattern, part in node.patterned.items() if pattern not in missing]
    return [node.additional, *possible]
