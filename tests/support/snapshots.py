"""Snapshots that lie on the disk before a test begins."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distributed_config.client.live.snapshots import Snapshot, Snapshots


def keep(folder: Path, url: str, service: str, document: Any, version: int = 0) -> Path:
    """Puts a good snapshot into ``folder``; returns its file."""
    kept = Snapshots(folder, url)
    kept.save(service, Snapshot(version, '"tag"', json.dumps(document)))
    return kept.path(service)


class Model:
    """What pydantic's models look like from outside."""

    def __init__(self, n: int) -> None:
        self.n = n

    @classmethod
    def model_validate(cls, value: Mapping[str, Any]) -> "Model":
        if value["n"] == 1:
            raise ValueError("one is not allowed")
        return cls(value["n"])
