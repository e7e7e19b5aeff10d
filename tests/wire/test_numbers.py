"""Numbers are kept as they were sent, or refused with their place: never changed."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from distributed_config.errors import InvalidDocument
from distributed_config.formats import FORMATS, read
from distributed_config.wire import DocumentLimits, make_document
from tests.support.server import JSON, Api, Server

KEPT = [
    "0.1",
    "-0.0",
    "0e-400",
    "1.0000000000000000000000000",
    "0.30000000000000004",
    "3.141592653589793",
    "5e-324",
    "1.7976931348623157e308",
    "1e23",
    "100000000000000000000000.0",
    "123456789012345678901234567890",
    "0.00001234567890123",
]
CHANGED = [
    "0.1234567890123456789",
    "3.14159265358979323846",
    "123456789012345678901234567890.5",
    "9007199254740993.0",
    "0.10000000000000000001",
    "1e-400",
    "-1e-400",
    "4.9e-324",
    "0." + "0" * 400 + "1",
    "1.2345678901234567890e-310",
    "1." + "0" * 2_000,
]
MEDIA_TYPES = {"json": "application/json", "yaml": "application/yaml", "toml": "application/toml"}


def body_of(format_name: str, number: str) -> bytes:
    if format_name == "yaml":
        number = every_reader_knows(number)
    texts = {
        "json": f'{{"a": {{"b/c": [0, {number}]}}}}',
        "yaml": f"a:\n  b/c: [0, {number}]\n",
        "toml": f'[a]\n"b/c" = [0, {number}]\n',
    }
    return texts[format_name].encode()


def every_reader_knows(number: str) -> str:
    """The number as readers of YAML 1.1 and 1.2 both take it: with a point, and a sign after e."""
    digits, e, exponent = number.partition("e")
    if not e:
        return number
    point = "" if "." in digits else ".0"
    sign = "" if exponent[0] in "+-" else "+"
    return f"{digits}{point}e{sign}{exponent}"


def put(api: Api, name: str, format_name: str, number: str) -> Any:
    headers = {"Content-Type": MEDIA_TYPES[format_name]}
    return api.http.put(
        "/config", params={"service": name}, content=body_of(format_name, number), headers=headers
    )


@pytest.mark.parametrize("format_name", MEDIA_TYPES)
@pytest.mark.parametrize("number", KEPT)
def test_a_number_that_can_be_kept_is_served_as_it_was_sent(
    api: Api, name: str, format_name: str, number: str
) -> None:
    assert put(api, name, format_name, number).status_code == 200

    served = json.loads(api.get(name).content, parse_float=Decimal, parse_int=Decimal)

    assert served["a"]["b/c"][1] == Decimal(number)


@pytest.mark.parametrize("format_name", MEDIA_TYPES)
@pytest.mark.parametrize("number", CHANGED)
def test_a_number_that_would_be_changed_is_refused_with_its_place(
    api: Api, name: str, format_name: str, number: str
) -> None:
    refused = put(api, name, format_name, number)

    assert refused.status_code == 422, refused.text
    problems = refused.json()["problems"]
    assert [each["pointer"] for each in problems] == ["/a/b~1c/1"]
    if format_name != "yaml":  # its reader has the number in its own spelling
        assert problems[0]["message"].startswith(number[:20])


@pytest.mark.parametrize("number", CHANGED)
@pytest.mark.parametrize(
    ("media_type", "body", "pointer"),
    [
        ("application/merge-patch+json", '{"a": {"b": NUMBER}}', "/a/b"),
        (
            "application/json-patch+json",
            '[{"op": "add", "path": "/a", "value": NUMBER}]',
            "/0/value",
        ),
    ],
)
def test_patches_are_read_as_strictly(
    api: Api, name: str, number: str, media_type: str, body: str, pointer: str
) -> None:
    api.put(name, {"a": 1})

    refused = api.http.patch(
        "/config",
        params={"service": name},
        content=body.replace("NUMBER", number),
        headers={"Content-Type": media_type},
    )

    assert refused.status_code == 422
    assert [each["pointer"] for each in refused.json()["problems"]] == [pointer]


@pytest.mark.parametrize("number", ["0.1234567890123456789", "1e-400"])
def test_the_other_doors_are_as_strict(api: Api, name: str, number: str) -> None:
    step = f'{{"service": "{name}", "document": {{"a": {number}}}}}'
    bodies = [
        ("POST", "/api/v1/import", {}, f'{{"{name}": {{"a": {number}}}}}'),
        ("POST", "/api/v1/changesets", {}, f'{{"changes": [{step}]}}'),
        ("PUT", "/api/v1/definitions", {"definition": name}, f'{{"schema": {{"x": {number}}}}}'),
        ("PUT", "/config/set", {}, f'{{"section": "s", "values": {{"a": {number}}}}}'),
    ]
    for method, path, query, body in bodies:
        refused = api.http.request(method, path, params=query, content=body, headers=JSON)
        assert refused.status_code == 422, f"{path}: {refused.text}"


def test_the_terminal_does_not_change_a_number_either(server: Server, name: str) -> None:
    server.api.put(name, {"a": 1})
    url = ["--url", server.url]

    refused = server.run("patch", *url, name, "rate=0.1234567890123456789")
    file = server.instance / "patch.json"
    file.write_text('{"rate": [1e-400]}')
    in_file = server.run("patch", *url, name, str(file))

    assert refused.returncode != 0
    assert "rate: 0.1234567890123456789 would be changed to" in refused.stderr
    assert in_file.returncode != 0
    assert "/rate/0: 1e-400 would be changed to 0.0" in in_file.stderr
    assert server.api.get(name).json() == {"a": 1}
    assert server.run("patch", *url, name, "rate=0.1", "what=NaN").returncode == 0
    assert server.api.get(name, version="current").json() == {"a": 1, "rate": 0.1, "what": "NaN"}


@given(st.integers(-(10**40), 10**40), st.integers(-30, 30), st.integers(-420, 420) | st.just(None))
@example(49, 1, -325)
def test_every_number_is_kept_or_refused(digits: int, point: int, exponent: int | None) -> None:
    text = f"{Decimal(digits).scaleb(-point):f}" + ("" if exponent is None else f"e{exponent}")
    try:
        document = make_document(
            read(FORMATS["json"], f'{{"n": {text}}}'.encode()), DocumentLimits(), "web"
        )
    except InvalidDocument:
        return
    kept = json.loads(document.text, parse_float=Decimal, parse_int=Decimal)["n"]
    assert kept == Decimal(text)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_whatever_a_program_writes_as_a_float_is_taken(number: float) -> None:
    text = json.dumps({"n": number})

    assert make_document(read(FORMATS["json"], text.encode()), DocumentLimits(), "web").text == text
