"""The formats of a document: JSON, YAML and TOML in; those, env and properties out.

A format that cannot hold a document refuses it and names the key; nothing is lost silently.
Texts are written so that the readers of other programs, also older ones, get the same values.
"""

import io
import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import tomli_w
from ruamel.yaml import YAML
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.representer import SafeRepresenter
from ruamel.yaml.tokens import (
    AliasToken,
    AnchorToken,
    BlockEndToken,
    BlockMappingStartToken,
    BlockSequenceStartToken,
    DirectiveToken,
    DocumentEndToken,
    DocumentStartToken,
    FlowMappingEndToken,
    FlowMappingStartToken,
    FlowSequenceEndToken,
    FlowSequenceStartToken,
    ScalarToken,
    TagToken,
)

from distributed_config.errors import InvalidDocument, NotRepresentable, Problem, TooLarge
from distributed_config.wire import (
    Place,
    decode,
    escape_pointer,
    exact_float,
    inside,
    parse_json,
    pointer_to,
)

_YAML_DEPTH = 64


@dataclass(frozen=True)
class Format:
    """One format. ``write`` makes text of an object; ``read`` is None where it is only written."""

    name: str
    media_type: str
    aliases: tuple[str, ...]
    extensions: tuple[str, ...]
    write: Callable[[Mapping[str, Any]], str]
    read: Callable[[bytes], Any] | None = None


def read(format_: Format, data: bytes, most_text: int = 256 << 10) -> Any:
    """The value in ``data``; ``wire.document_of`` checks what it holds.

    ``most_text`` is the largest YAML or TOML text that is read. Raises InvalidDocument or TooLarge.
    """
    if format_.read is None:
        raise InvalidDocument(
            f"{format_.name} is written here, and not read. Send JSON, YAML or TOML."
        )
    if format_.name != "json" and len(data) > most_text:
        raise TooLarge("DISTCONF_TEXT_BYTES", most_text)
    return format_.read(data)


def write(format_: Format, value: Mapping[str, Any], size: int, most_text: int = 256 << 10) -> str:
    """``value`` in ``format_``. ``size`` is about how long it is, as JSON.

    Raises NotRepresentable if the format cannot hold it, or if it would take long: over
    ``most_text`` only JSON is written.
    """
    if format_.name != "json" and size > most_text:
        raise NotRepresentable(
            f"It has {size} bytes, and over {most_text} (DISTCONF_TEXT_BYTES) only JSON is "
            "written. Ask for format=json."
        )
    return format_.write(value)


def by_name(name: str) -> Format | None:
    """The format called ``name``, or None."""
    return FORMATS.get(name)


def by_media_type(media_type: str) -> Format | None:
    """The format of a Content-Type or of one choice of an Accept header, or None."""
    bare = media_type.partition(";")[0].strip().lower()
    if bare.endswith("+json"):
        return FORMATS["json"]
    for each in FORMATS.values():
        if bare == each.media_type.partition(";")[0] or bare in each.aliases:
            return each
    return None


def by_extension(filename: str) -> Format | None:
    """The format of a file by the end of its name, or None."""
    suffix = filename.rpartition(".")[2].lower()
    return next((each for each in FORMATS.values() if suffix in each.extensions), None)


# --- JSON


def _write_json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False)


# --- YAML


def _read_yaml(data: bytes) -> Any:
    text = decode(data)
    try:
        _refuse_dangerous_yaml(text)
        return _yaml().load(text)
    except RecursionError:
        raise _refusal("It is nested far too deep.", None) from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _refusal(f"{error.problem or error.context}".strip(), mark) from None
    except YAMLError as error:
        raise _refusal(" ".join(str(error).split()), None) from None
    except ValueError as error:
        # ruamel lets the refusals of int() and date() through, as for 2026-13-45.
        raise _refusal(f"{error}".strip(), None) from None


def _refuse_dangerous_yaml(text: str) -> None:
    """Refuses what makes a small YAML text large, slow or deep, before anything is built of it."""
    opening = (
        BlockMappingStartToken,
        BlockSequenceStartToken,
        FlowMappingStartToken,
        FlowSequenceStartToken,
    )
    closing = (BlockEndToken, FlowMappingEndToken, FlowSequenceEndToken)
    depth = documents = 0
    for token in YAML(typ="safe", pure=True).scan(text):
        if isinstance(token, AnchorToken | AliasToken):
            raise _refusal(
                "Anchors and aliases are not read; write the value out.", token.start_mark
            )
        if isinstance(token, TagToken):
            raise _refusal("Tags are not read; write plain values.", token.start_mark)
        if isinstance(token, DirectiveToken):
            raise _refusal("Directives are not read.", token.start_mark)
        documents += isinstance(token, DocumentStartToken)
        if isinstance(token, DocumentEndToken) or documents > 1:
            raise _refusal("One document is read, not several.", token.start_mark)
        if isinstance(token, ScalarToken) and token.plain and token.value == "<<":
            raise _refusal("Merge keys are not read; write the keys out.", token.start_mark)
        depth += isinstance(token, opening) - isinstance(token, closing)
        if depth > _YAML_DEPTH:
            raise _refusal(f"It is nested deeper than {_YAML_DEPTH}.", token.start_mark)


def _refusal(message: str, mark: Any) -> InvalidDocument:
    place = f" (line {mark.line + 1}, column {mark.column + 1})" if mark is not None else ""
    return InvalidDocument.of([Problem("", f"{message.rstrip('.')}{place}.", "yaml")])


def _yaml() -> YAML:
    yaml = YAML(typ="safe", pure=True)
    yaml.allow_duplicate_keys = False
    yaml.Constructor = _Constructor
    return yaml


class _Constructor(SafeConstructor):
    """Keeps numbers as they are written, or has them refused."""

    def construct_yaml_float(self, node: Any) -> Any:
        text = self.construct_scalar(node).replace("_", "")
        # .inf and .nan have no digits, and no place in a document either.
        if not any(each.isdigit() for each in text):
            return super().construct_yaml_float(node)
        return exact_float(text)


_Constructor.add_constructor("tag:yaml.org,2002:float", _Constructor.construct_yaml_float)


class _Representer(SafeRepresenter):
    """Quotes every text that some YAML reader, also of YAML 1.1, takes for something else."""

    _PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
    _WORDS = frozenset(("y", "n", "yes", "no", "on", "off", "true", "false", "null"))

    def ignore_aliases(self, _data: Any) -> bool:
        return True

    def represent_text(self, data: str) -> Any:
        plain = self._PLAIN.fullmatch(data) and data.lower() not in self._WORDS
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=None if plain else '"')

    def represent_number(self, data: float) -> Any:
        text = repr(data)
        if "e" in text and "." not in text:
            text = text.replace("e", ".0e")  # YAML 1.1 takes 1e+16 for text
        return self.represent_scalar("tag:yaml.org,2002:float", text)


_Representer.add_representer(str, _Representer.represent_text)
_Representer.add_representer(float, _Representer.represent_number)


def _write_yaml(value: Mapping[str, Any]) -> str:
    yaml = YAML(typ="safe", pure=True)
    yaml.Representer = _Representer
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # declared None
    yaml.width = 1 << 20
    yaml.allow_unicode = True
    stream = io.StringIO()
    yaml.dump(dict(value), stream)
    return stream.getvalue()


# --- TOML


# The time to read a dotted key grows with the square of its parts.
_TOO_DOTTED = re.compile(r"(?:^|[\[{,])\s*(?:[^\s.=\[\]{},]+\s*\.\s*){64}", re.MULTILINE)


def _read_toml(data: bytes) -> Any:
    text = decode(data)
    if _TOO_DOTTED.search(text):
        raise InvalidDocument.of([Problem("", "A key has more than 64 parts.", "depth")])
    try:
        return tomllib.loads(text, parse_float=exact_float)
    except RecursionError:
        raise InvalidDocument.of([Problem("", "It is nested far too deep.", "depth")]) from None
    except ValueError as error:
        raise InvalidDocument.of([Problem("", f"{error}.", "toml")]) from None


def _write_toml(value: Mapping[str, Any]) -> str:
    problems = list(_not_in_toml(value))
    if problems:
        raise _not_representable(problems)
    return tomli_w.dumps(value)


def _not_in_toml(value: Mapping[str, Any]) -> Iterator[Problem]:
    waiting: list[tuple[Place, Any]] = [(None, value)]
    while waiting:
        place, here = waiting.pop()
        if here is None:
            yield Problem(pointer_to(place), "TOML has no null.", "null")
        elif isinstance(here, int) and not -(2**63) <= here < 2**63:
            message = "TOML has no whole number of more than 64 bits."
            yield Problem(pointer_to(place), message, "number")
        waiting.extend(reversed(inside(place, here)))


# --- env


_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BARE = re.compile(r"[A-Za-z0-9_.,:/@%+=-]*")


def _write_env(value: Mapping[str, Any]) -> str:
    """Lines that a POSIX shell can source."""
    problems = list(_not_in_env(value))
    if problems:
        raise _not_representable(problems)
    return "".join(f"{key}={_quoted(_plain_text(each))}\n" for key, each in value.items())


def _not_in_env(value: Mapping[str, Any]) -> Iterator[Problem]:
    for key, each in value.items():
        pointer = f"/{escape_pointer(key)}"
        if not _VARIABLE.fullmatch(key):
            yield Problem(pointer, "The key is not a name for an environment variable.", "key")
        if isinstance(each, dict | list):
            yield Problem(pointer, "env holds no objects and no arrays.", "nesting")
        elif each is None:
            yield Problem(pointer, "env has no null.", "null")
        elif isinstance(each, str) and "\x00" in each:
            yield Problem(pointer, "env holds no NUL character.", "nul")


def _quoted(text: str) -> str:
    return text if _BARE.fullmatch(text) else "'" + text.replace("'", "'\\''") + "'"


# --- properties

# Nested keys repeat what they are nested in, so the text can be much longer than the document.
_MOST_PROPERTIES = 16 << 20


def _write_properties(value: Mapping[str, Any]) -> str:
    """Java's properties: nested keys joined by a dot, array elements as ``key[0]``."""
    lines: dict[str, str] = {}
    problems = []
    length = 0
    for place, key, each in _flattened(None, "", value):
        length += len(key)
        if length > _MOST_PROPERTIES:
            raise NotRepresentable("Its keys would be far too long. Ask for format=json.")
        if each is None or (isinstance(each, dict | list) and not each):
            empty = "null" if each is None else "empty objects and arrays"
            problems.append(Problem(pointer_to(place), f"properties has no {empty}.", "null"))
        elif key in lines:
            message = f"Two values would both be called {key[:80]}."
            problems.append(Problem(pointer_to(place), message, "clash"))
        lines[key] = _plain_text(each)
    if problems:
        raise _not_representable(problems)
    return "".join(
        f"{_escaped_property(key, in_key=True)}={_escaped_property(text)}\n"
        for key, text in lines.items()
    )


def _flattened(place: Place, key: str, value: Any) -> Iterator[tuple[Place, str, Any]]:
    """Every value that holds no others, with its place and its key."""
    if not value or not isinstance(value, Mapping | list):
        if key or place is not None:
            yield place, key, value
        return
    for inner, each in inside(place, value):
        assert inner is not None  # what is inside something has a key there
        name = inner[1]
        below = f"{key}[{name}]" if isinstance(name, int) else f"{key}.{name}" if key else name
        yield from _flattened(inner, below, each)


def _escaped_property(text: str, in_key: bool = False) -> str:
    special = "\\" + (" :=#!" if in_key else "")
    named = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\f": "\\f"}
    written = []
    for i, character in enumerate(text):
        if character in special or (character == " " and i == 0):
            written.append("\\" + character)
        elif character in named:
            written.append(named[character])
        elif " " <= character <= "~":
            written.append(character)
        else:
            units = character.encode("utf-16-be")
            written += [f"\\u{units[j]:02x}{units[j + 1]:02x}" for j in range(0, len(units), 2)]
    return "".join(written)


# --- shared


def _plain_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _not_representable(problems: list[Problem]) -> NotRepresentable:
    first = problems[0]
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return NotRepresentable(
        f"{first.pointer}: {first.message}{more} Ask for format=json, which holds everything.",
        problems,
    )


FORMATS: dict[str, Format] = {
    each.name: each
    for each in (
        Format("json", "application/json", ("text/json",), ("json",), _write_json, parse_json),
        Format(
            "yaml",
            "application/yaml",
            ("application/x-yaml", "text/yaml", "text/x-yaml", "text/vnd.yaml"),
            ("yaml", "yml"),
            _write_yaml,
            _read_yaml,
        ),
        Format(
            "toml",
            "application/toml",
            ("application/x-toml", "text/toml", "text/x-toml"),
            ("toml",),
            _write_toml,
            _read_toml,
        ),
        Format("env", "text/x-env; charset=utf-8", (), ("env",), _write_env),
        Format(
            "properties",
            "text/x-java-properties; charset=utf-8",
            (),
            ("properties",),
            _write_properties,
        ),
    )
}
