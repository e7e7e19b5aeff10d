"""The walk that the README begins with, over a real server with two workers."""

import re

from tests.support.server import Api


def test_the_original_walk_answers_as_it_always_did(api: Api) -> None:
    first = {"service": "managed-k8s", "data": [{"key1": "value1"}, {"key2": "value2"}]}
    second = {**first, "data": [*first["data"], {"key3": "value3"}]}

    created = api.post("managed-k8s", first)

    assert created.status_code == 200
    assert re.fullmatch(
        r'{"ID": \d+, "enabled": true, "service": "managed-k8s", "serviceJSONconf": '
        r'"{\\"service\\": \\"managed-k8s\\", \\"data\\": \[{\\"key1\\": \\"value1\\"}, '
        r'{\\"key2\\": \\"value2\\"}\]}", "success": true, "total_configs": \d+}',
        created.text,
    )
    assert api.get("managed-k8s").text == (
        '{"service": "managed-k8s", "data": [{"key1": "value1"}, {"key2": "value2"}]}'
    )
    assert api.patch("managed-k8s", second).json()["success"] is True
    assert api.get("managed-k8s").text == (
        '{"0": "{\\"service\\": \\"managed-k8s\\", \\"data\\": [{\\"key1\\": \\"value1\\"}, '
        '{\\"key2\\": \\"value2\\"}]}", "1": "{\\"service\\": \\"managed-k8s\\", \\"data\\": '
        '[{\\"key1\\": \\"value1\\"}, {\\"key2\\": \\"value2\\"}, {\\"key3\\": \\"value3\\"}]}"}'
    )
