"""Random schemas with all keywords of both drafts, edits of them, and documents close to them.

One ``Random`` chooses everything; hypothesis may be its source. Keywords that a draft does not know
are written as well: they must have no effect.
"""

import copy
from collections.abc import Callable
from random import Random
from typing import Any, ClassVar

DRAFT_7 = "http://json-schema.org/draft-07/schema#"
DRAFT_2020_12 = "https://json-schema.org/draft/2020-12/schema"

NAMES = ("a", "b", "ab", "x-1")
PATTERNS = {"^a": ("a", "ab"), "b$": ("b", "ab"), "^x-": ("x-1", "x-2"), "": ("c", "a")}
TEXTS = ("", "a", "b", "ab", "abc", "1", "{}", "YQ==", "2024-02-29", "é")
VALUES = (None, True, False, 0, 1, 2, 3, -1, 0.5, 1.0, "", "a", "ab", [], [1], {}, {"a": 1})
TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")

_COUNTS = ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties")
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_ONE = (
    *("not", "if", "then", "else", "additionalProperties", "propertyNames", "contains"),
    *("unevaluatedProperties", "unevaluatedItems", "additionalItems", "items"),
)
_LISTS = ("allOf", "anyOf", "oneOf")
_MAPS = ("properties", "patternProperties", "dependentSchemas", "dependencies")
_OTHERS = (
    *("type", "enum", "const", "multipleOf", "pattern", "format", "contentMediaType"),
    *("contentEncoding", "minContains", "maxContains", "uniqueItems", "prefixItems", "required"),
    *("dependentRequired", "$ref", "$dynamicRef", "title", "default"),
)
_NAMELESS = {"type", "enum", "const", "required", "default"}
KEYWORDS = (*_COUNTS, *_BOUNDS, *_ONE, *_LISTS, *_MAPS, *_OTHERS)
_HOLDING = (*_ONE, *_LISTS, *_MAPS, "prefixItems", "$ref")
_SHADOWING = ("patternProperties", "properties", "prefixItems", "additionalProperties", "items")
# Keywords that are drawn together: alone, most of them have no effect.
_TOGETHER = (
    ("properties", "patternProperties"),
    ("properties", "additionalProperties"),
    ("properties", "additionalProperties", "required"),
    ("patternProperties", "additionalProperties"),
    ("properties", "patternProperties", "additionalProperties"),
    ("properties", "unevaluatedProperties"),
    ("allOf", "properties", "unevaluatedProperties"),
    ("anyOf", "unevaluatedProperties"),
    ("if", "then", "unevaluatedProperties"),
    ("dependentSchemas", "unevaluatedProperties"),
    ("$ref", "unevaluatedProperties"),
    ("patternProperties", "unevaluatedProperties"),
    ("prefixItems", "items"),
    ("prefixItems", "unevaluatedItems"),
    ("contains", "unevaluatedItems"),
    ("anyOf", "unevaluatedItems"),
    ("items", "additionalItems"),
    ("contains", "minContains"),
    ("contains", "maxContains"),
    ("contains", "minContains", "maxContains"),
    ("if", "then", "else"),
    ("if", "then"),
    ("if", "else"),
    ("contentMediaType", "contentEncoding"),
    ("type", "minimum"),
    ("type", "minLength"),
    ("$ref", "properties"),
)


class SchemaMaker:
    """A source of random schemas of one draft, and of edits."""

    def __init__(self, random: Random, draft: str, *, marks: bool = False) -> None:
        self._random = random
        self.draft = draft
        self._marks = marks

    def whole(self) -> dict[str, Any]:
        """Return a schema that can be stored, unless its references run in circles."""
        z = {"$anchor": "z", "$dynamicAnchor": "dz", "properties": {"a": self.schema(1)}}
        if self.draft == DRAFT_7:
            z = {"$id": "#z", **z}
        stored = {"x": self.schema(1), "y": self.schema(1), "z": z}
        result = self.schema(3)
        return {
            "$schema": self.draft,
            **(result if isinstance(result, dict) else {"not": result}),
            "$defs": stored,
        }

    def schema(self, depth: int) -> Any:
        """Return a schema whose parts are at most ``depth`` deep."""
        choose = self._random
        if choose.random() < 0.12:
            return choose.choice([True, False, {}, {}])
        keys = list(choose.choice(_TOGETHER)) if choose.random() < 0.6 else []
        while not keys or choose.random() < 0.3:
            keys.append(choose.choice(_HOLDING if self._marks else KEYWORDS))
        result = {key: self.value(key, depth) for key in keys}
        result = {key: value for key, value in result.items() if value is not None}
        if self._marks and choose.random() < (0.04 if depth else 0.7):
            result["x-secret"] = choose.random() < 0.8
        return result

    def value(self, key: str, depth: int) -> Any:
        """Return a value for the keyword ``key``, or None to leave it out."""
        choose = self._random
        holding = key in _ONE or key in _LISTS or key in _MAPS or key == "prefixItems"
        if depth <= 0 and holding:
            return None if key in {*_LISTS, *_MAPS, "prefixItems"} else self._leaf()
        if key in _LISTS or key == "prefixItems":
            return [self.schema(depth - 1) for _ in range(choose.randint(1, 2))]
        if key in _MAPS:
            return self._map(key, depth)
        if key == "items" and self.draft == DRAFT_7 and choose.random() < 0.6:
            return [self.schema(depth - 1) for _ in range(choose.randint(1, 2))]
        if key in _ONE:
            return self.schema(depth - 1) if choose.random() < 0.6 else self._leaf()
        return self._plain(key)

    def _leaf(self) -> Any:
        choose = self._random
        if self._marks:
            return choose.choice([{"x-secret": True}, {}])
        kind = {"type": choose.choice(TYPES)}
        return choose.choice([True, False, {}, kind, kind, {"const": choose.choice(VALUES)}])

    def _map(self, key: str, depth: int) -> dict[str, Any]:
        choose = self._random
        keys = list(PATTERNS if key == "patternProperties" else NAMES)
        names = choose.sample(keys, choose.choice([1, 1, 2]))
        result = {name: self.schema(depth - 1) for name in names}
        if key == "dependencies":
            result |= {name: self._names() for name in names if choose.random() < 0.5}
        return result

    def _names(self) -> list[str]:
        return self._random.sample(NAMES, self._random.randint(0, 2))

    def _plain(self, key: str) -> Any:
        choose = self._random
        if key in _COUNTS or key in {"minContains", "maxContains"}:
            return choose.randint(0, 2)
        if key in _BOUNDS:
            return choose.choice([-1, 0, 1, 2, 0.5, 1.0])
        return self._PLAIN[key](choose)

    _PLAIN: ClassVar[dict[str, Callable[[Random], Any]]] = {
        "type": lambda choose: choose.choice(
            [choose.choice(TYPES), sorted(choose.sample(TYPES, choose.randint(1, 4)))]
        ),
        "enum": lambda choose: choose.sample(VALUES, choose.randint(1, 4)),
        "const": lambda choose: choose.choice(VALUES),
        "multipleOf": lambda choose: choose.choice([1, 2, 3, 4, 6, 0.5, 0.25]),
        "pattern": lambda choose: choose.choice(list(PATTERNS)),
        "format": lambda choose: choose.choice(["date", "email", "ipv4", "uuid", "nonsense"]),
        "contentMediaType": lambda choose: choose.choice(["application/json", "text/plain"]),
        "contentEncoding": lambda _: "base64",
        "uniqueItems": lambda choose: choose.random() < 0.7,
        "required": lambda choose: choose.sample(NAMES, choose.randint(0, 2)),
        "dependentRequired": lambda choose: {
            choose.choice(NAMES): choose.sample(NAMES, choose.randint(0, 2))
        },
        "$ref": lambda choose: choose.choice(["#/$defs/x", "#/$defs/y", "#", "#z"]),
        "$dynamicRef": lambda choose: choose.choice(["#/$defs/x", "#dz"]),
        "title": lambda choose: choose.choice(TEXTS),
        "default": lambda choose: choose.choice(VALUES),
    }

    def edited(self, schema: Any, depth: int = 3) -> Any:
        """Return ``schema`` after one small change, at any depth."""
        choose = self._random
        if not isinstance(schema, dict):
            return self.schema(max(depth, 1))
        inner = [
            (key, name)
            for key, value in schema.items()
            if key in {*_MAPS, *_LISTS, "prefixItems", "$defs"} or isinstance(value, list)
            if key not in _NAMELESS
            for name in (value if isinstance(value, dict) else range(len(value)))
        ]
        ones = [key for key in _ONE if isinstance(schema.get(key), dict | bool)]
        if (inner or ones) and choose.random() < 0.55:
            return self._edited_inside(schema, inner, ones, depth)
        return self._edited_here(schema, depth)

    def _edited_inside(
        self, schema: dict[str, Any], inner: list[Any], ones: list[str], depth: int
    ) -> dict[str, Any]:
        result = dict(schema)
        where = self._random.choice([*inner, *ones])
        if isinstance(where, str):
            result[where] = self.edited(schema[where], depth - 1)
            return result
        key, name = where
        result[key] = copy.copy(schema[key])
        if isinstance(schema[key][name], list):
            result[key][name] = self._names()
        else:
            result[key][name] = self.edited(schema[key][name], depth - 1)
        return result

    def _edited_here(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        choose = self._random
        result = dict(schema)
        keys = [
            key
            for key in schema
            if key not in {"$schema", "$id", "$defs", "$anchor", "$dynamicAnchor", "x-secret"}
        ]
        how = choose.random()
        if keys and how < (0.1 if self._marks else 0.25):
            del result[choose.choice(keys)]
        elif self._marks:
            key = choose.choice(_SHADOWING)
            result[key] = {"^a": {}} if key == "patternProperties" else self.value(key, 1)
        elif keys and how < 0.6:
            key = choose.choice(keys)
            result[key] = self._another(key, schema[key], depth)
        else:
            more = choose.choice(_TOGETHER) if how < 0.75 else [choose.choice(KEYWORDS)]
            for key in more:
                if key not in result or choose.random() < 0.3:
                    result[key] = self.value(key, max(depth, 1))
        return {key: value for key, value in result.items() if value is not None}

    def _another(self, key: str, value: Any, depth: int) -> Any:
        """Return another value for ``key``, similar to ``value`` where possible."""
        choose = self._random
        if isinstance(value, bool) or choose.random() < 0.3:
            return self.value(key, max(depth, 1))
        if isinstance(value, int) and key in {*_COUNTS, "minContains", "maxContains"}:
            return max(0, value + choose.choice([-1, 1]))
        if isinstance(value, list) and key in {*_LISTS, "prefixItems", "enum", "items"}:
            more = choose.choice(VALUES) if key == "enum" else self.schema(max(depth - 1, 1))
            return choose.choice([value[1:] or [more], [*value, more], value[::-1]])
        if isinstance(value, dict) and key in _MAPS:
            return choose.choice(
                [{**value, **self._map(key, max(depth, 1))}, dict([*value.items()][1:])]
            )
        return self.value(key, max(depth, 1))


class DocumentMaker:
    """A source of documents close to a schema: allowed, or only just not."""

    def __init__(self, random: Random, whole: dict[str, Any]) -> None:
        self._random = random
        self._whole = whole

    def document(self) -> Any:
        """Return a document; sometimes it has a change that the schema does not suggest."""
        document = self._value(self._whole, 5)
        return self._changed(document) if self._random.random() < 0.3 else document

    def _value(self, schema: Any, depth: int) -> Any:
        choose = self._random
        if not isinstance(schema, dict) or depth <= 0 or choose.random() < 0.04:
            return choose.choice(VALUES)
        schema = self._merged(schema, depth)
        if choose.random() < 0.75:
            if "const" in schema:
                return copy.deepcopy(schema["const"])
            if schema.get("enum"):
                return copy.deepcopy(choose.choice(schema["enum"]))
        kind = self._kind(schema)
        if kind == "object":
            return self._object(schema, depth)
        if kind == "array":
            return self._array(schema, depth)
        if kind == "string":
            return self._text(schema)
        if kind in {"integer", "number"}:
            return self._number(schema)
        return None if kind == "null" else choose.random() < 0.5

    def _merged(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        """Return ``schema`` with what applies beside it; of alternatives, one or none."""
        choose = self._random
        beside = [self._target(schema[key]) for key in ("$ref", "$dynamicRef") if key in schema]
        beside += schema.get("allOf", [])
        for key in ("anyOf", "oneOf"):
            beside += choose.sample(schema.get(key, []), min(1, len(schema.get(key, []))))
        beside += [
            schema[key] for key in ("if", "then", "else") if choose.random() < 0.5 and key in schema
        ]
        for key in ("dependentSchemas", "dependencies"):
            beside += [part for part in schema.get(key, {}).values() if choose.random() < 0.5]
        merged = dict(schema)
        for part in beside:
            if isinstance(part, dict) and depth > 1:
                for key, value in self._merged(part, depth - 2).items():
                    both = isinstance(value, dict) and isinstance(merged.get(key), dict)
                    merged[key] = {**merged[key], **value} if both else merged.get(key, value)
        return merged

    def _target(self, reference: str) -> Any:
        here: Any = self._whole
        if not reference.startswith("#/"):
            return here["$defs"]["z"] if len(reference) > 1 else here
        for token in reference.split("/")[1:]:
            here = here.get(token) if isinstance(here, dict) else None
        return here

    def _kind(self, schema: dict[str, Any]) -> str:
        choose = self._random
        named = schema.get("type")
        if named is not None and choose.random() < 0.9:
            return named if isinstance(named, str) else choose.choice(named or ["null"])
        weights = {
            "object": ("roper", "required", "depend"),
            "array": ("tems", "ontains"),
            "string": ("Length", "pattern", "format", "content"),
            "number": ("imum", "multiple"),
        }
        fitting = [
            kind
            for kind, words in weights.items()
            if any(word in key for key in schema for word in words)
        ]
        if fitting and choose.random() < 0.9:
            return choose.choice(fitting)
        return choose.choice([*TYPES, "object", "array"])

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        choose = self._random
        names = {*schema.get("required", ()), *schema.get("properties", {})}
        for pattern in schema.get("patternProperties", {}):
            names |= set(PATTERNS[pattern])
        for needed in schema.get("dependentRequired", {}).values():
            names |= set(needed)
        names = {name for name in sorted(names) if choose.random() < 0.75}
        if choose.random() < 0.5:
            names.add(choose.choice([*NAMES, "c", "x-2"]))
        return {
            name: self._value(self._of_member(schema, name), depth - 1) for name in sorted(names)
        }

    def _of_member(self, schema: dict[str, Any], name: str) -> Any:
        parts = []
        if name in schema.get("properties", {}):
            parts.append(schema["properties"][name])
        for pattern, part in schema.get("patternProperties", {}).items():
            if name in PATTERNS[pattern]:
                parts.append(part)
        for key in ("additionalProperties", "unevaluatedProperties"):
            if not parts and key in schema:
                parts.append(schema[key])
        return self._random.choice(parts) if parts else True

    def _array(self, schema: dict[str, Any], depth: int) -> list[Any]:
        choose = self._random
        listed = schema.get("prefixItems") or []
        rest = schema.get("items", schema.get("unevaluatedItems", True))
        if isinstance(rest, list):
            listed, rest = rest, schema.get("additionalItems", True)
        length = choose.randint(0, max(len(listed) + 1, schema.get("minItems", 0) + 1))
        elements = []
        for position in range(length):
            own = listed[position] if position < len(listed) else rest
            if "contains" in schema and choose.random() < 0.4:
                own = schema["contains"]
            elements.append(self._value(own, depth - 1))
        return elements

    def _text(self, schema: dict[str, Any]) -> str:
        choose = self._random
        if "pattern" in schema and choose.random() < 0.7:
            return choose.choice(PATTERNS.get(schema["pattern"], TEXTS))
        return choose.choice(TEXTS)

    def _number(self, schema: dict[str, Any]) -> float:
        choose = self._random
        near = [schema[key] for key in (*_BOUNDS, "multipleOf") if key in schema]
        number: float = choose.choice([*near, 0, 1, 2, 12, -1, 2**53, 1e300]) + choose.choice(
            [0, 0, 1, -1, 0.5]
        )
        return number

    def _changed(self, value: Any) -> Any:
        choose = self._random
        if isinstance(value, dict) and value and choose.random() < 0.8:
            result = dict(value)
            name = choose.choice(list(value))
            if choose.random() < 0.4:
                del result[name]
            else:
                result[choose.choice([name, *NAMES])] = self._changed(value[name])
            return result
        if isinstance(value, list) and value and choose.random() < 0.8:
            at = choose.randrange(len(value))
            return choose.choice(
                [value[:at], [*value[:at], self._changed(value[at]), *value[at + 1 :]]]
            )
        return choose.choice(VALUES)
