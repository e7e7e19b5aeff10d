"""Small requests that would cost much time or memory."""

import resource
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import process_group
from tests.support.raw_http import JSON, TOML, render_request, send_bytes
from tests.support.server import Server

pytestmark = pytest.mark.many


NUMBERS = [(i * 7919) % 293 for i in range(100_000)]

COSTLY = [
    pytest.param(
        [],
        ("PUT", JSON, b'{"%s":[%s]}' % (b"k" * 100_000, b",".join([b"0"] * 40_000))),
        "/config?service=costly",
        {200},
        id="a-long-key-over-many-values",
    ),
    pytest.param(
        [],
        ("PUT", TOML, b"a." * 60_000 + b"a = 1"),
        "/config?service=costly",
        {413, 422},
        id="many-dotted-toml-keys",
    ),
    pytest.param(
        [],
        (
            "PUT",
            TOML,
            b"[%sa]\n" % (b"a." * 50_000) + b"\n".join(b"b%d=1" % i for i in range(5000)),
        ),
        "/config?service=costly",
        {413, 422},
        id="many-keys-under-a-deep-toml-table",
    ),
    pytest.param(
        [{"a": NUMBERS}],
        ("GET", None, b""),
        "/config?service=costly&format=toml",
        {200, 406},
        id="a-long-array-as-toml",
    ),
    pytest.param(
        [{"a": NUMBERS}, {"a": NUMBERS[::-1]}],
        ("GET", None, b""),
        "/api/v1/diff?service=costly&from=0&to=1",
        {200, 413, 422},
        id="a-diff-of-long-arrays",
    ),
]


@pytest.mark.parametrize(("stored", "request_", "path", "statuses"), COSTLY)
def test_the_work_for_a_small_request_is_bounded(
    tmp_path: Path,
    stored: list[dict[str, Any]],
    request_: tuple[str, str | None, bytes],
    path: str,
    statuses: set[int],
) -> None:
    """Each request once took minutes, or gigabytes, for a body of some hundred kilobytes."""
    method, kind, body = request_
    with Server(tmp_path / "instance", workers=1) as server:
        for document in stored:
            assert server.api.put("costly", document).status_code == 200
        for pid in process_group(server):
            resource.prlimit(pid, resource.RLIMIT_AS, (3 << 30, 3 << 30))
        try:
            response = send_bytes(server, render_request(method, path, kind, body), seconds=30)
        except BaseException:
            # The worker is still busy, and SIGTERM would wait for it.
            server.kill()
            raise
    assert response.status in statuses
