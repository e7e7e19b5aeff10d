"""JSON values as YAML: in blocks, and read as the same values by readers of YAML 1.1 and 1.2."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

# Text that no reader takes for anything else. Everything else is in double quotes, as in JSON.
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_/-]*(?:[ .:@][A-Za-z0-9_/-]+)*")
# Numbers in words, and what YAML 1.1 takes for true, false and null.
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"})
# JSON leaves these in texts, and some readers of YAML end a line at them, or refuse them.
_SPECIAL = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff\ufffe\uffff]")


def as_yaml(value: Any) -> str:
    """Return a JSON value as a YAML document, with a line end."""
    return "".join(f"{line}\n" for line in _lines(value))


# --- blocks


def _lines(value: Any) -> Iterator[str]:
    """Yield the lines of a value that begins at the left margin."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _entry(f"{_text(str(key))}:", item, "  ")
    elif isinstance(value, list) and value:
        for item in value:
            yield from _element(item)
    else:
        yield _scalar(value)


def _entry(start: str, item: Any, indent: str) -> Iterator[str]:
    if _is_block(item):
        yield start
        yield from (f"{indent}{line}" for line in _lines(item))
    else:
        yield f"{start} {_scalar(item)}"


def _element(item: Any) -> Iterator[str]:
    """Yield an element of a list: the first line of a block stands beside its dash."""
    # The dash takes the place of an indent of two.
    lines = _lines(item) if _is_block(item) else iter([_scalar(item)])
    yield f"- {next(lines)}"
    yield from (f"  {line}" for line in lines)


def _is_block(value: Any) -> bool:
    return isinstance(value, Mapping | list) and bool(value)


# --- scalars


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, float):
        return _number(value)
    return json.dumps(value)


def _number(value: float) -> str:
    """Return a number that YAML 1.1 reads as one too: there an exponent needs a dot and a sign."""
    text = json.dumps(value)
    mantissa, is_scientific, exponent = text.partition("e")
    if not is_scientific:
        return text
    mantissa = mantissa if "." in mantissa else f"{mantissa}.0"
    return f"{mantissa}e{exponent if exponent[0] in '+-' else f'+{exponent}'}"


def _text(text: str) -> str:
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return _SPECIAL.sub(_escape, json.dumps(text, ensure_ascii=False))


def _escape(found: "re.Match[str]") -> str:
    return f"\\u{ord(found[0]):04x}"
