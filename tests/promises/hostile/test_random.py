"""Random requests get documented responses."""

from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.fuzz import FUZZ
from tests.support.raw_http import JSON, MERGE, PATCH, TOML, YAML, send
from tests.support.server import Server

pytestmark = pytest.mark.many


# What a request line may hold at all: the rest is gunicorn's to refuse.
TARGET = st.binary(max_size=60).map(quote)
PLAIN = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=60
)


def test_random_reads_get_documented_responses(server: Server, target: str, drill: bool) -> None:
    paths = ["/config", "/api/v1/services", "/api/v1/versions", "/api/v1/changes", "/api/v1/diff"]
    names = ["service", "version", "as_of", "format", "limit", "cursor", "after", "tag", "prefix"]
    pairs = st.tuples(st.sampled_from(names) | TARGET, TARGET | st.just(target))
    queries = st.lists(pairs, max_size=5).map(lambda items: "&".join(map("=".join, items)))
    headers = st.lists(
        st.tuples(
            st.sampled_from(["Accept", "If-None-Match", "Prefer", "Cookie", "X-Request-ID"]), PLAIN
        ).map(": ".join),
        max_size=4,
    )

    @settings(FUZZ, max_examples=3000 if drill else 150)
    @given(st.sampled_from(paths) | TARGET.map("/{}".format), queries, headers)
    def send_a_random_read(path: str, query: str, headers: list[str]) -> None:
        send(server, "GET", f"{path}?{query}", headers=headers)

    send_a_random_read()


WORDS = [
    *'{}[],:"\'-?|>#&*!%@=.\n \t', "a", "b: ", "a = ", "1", "0x", "e9", "\\u", "\\ud800", "null",
    "true", "inf", ".nan", "2001-01-01", "T00:00:00", "Z", "<<", "---\n", "\n  ", '"""', "\x00",
    "\x85", "\u2028", "\ufeff", "é", "\U0001f600", "[[", "]]", "//", "{}", '"a":', '"op":"add"',
]  # fmt: skip


def test_random_bodies_get_documented_responses(server: Server, target: str, drill: bool) -> None:
    texts = st.lists(st.sampled_from(WORDS), max_size=20).map(lambda words: "".join(words).encode())
    kinds = st.sampled_from([JSON, YAML, TOML, MERGE, PATCH])
    paths = st.sampled_from(
        [
            ("PUT", f"/config?service={target}&dry_run=true"),
            ("PATCH", f"/config?service={target}&dry_run=true"),
            ("POST", "/api/v1/changesets?dry_run=true"),
            ("POST", "/api/v1/import?dry_run=true"),
        ]
    )

    @settings(FUZZ, max_examples=3000 if drill else 200)
    @given(paths, kinds, texts | st.binary(max_size=60))
    def send_a_random_body(way: tuple[str, str], kind: str, body: bytes) -> None:
        response = send(server, *way, kind, body)
        assert response.status in {200, 404, 422}

    send_a_random_body()
