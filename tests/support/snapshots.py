"""Snapshots that are on the disk before a test begins."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distributed_config.client.live.snapshots import Snapshot, Snapshots


def save_snapshot(folder: Path, url: str, service: str, document: Any, version: int = 0) -> Path:
    """Put a good snapshot into ``folder``. Return its file."""
    snapshots = Snapshots(folder, url)
    snapshots.save(service, Snapshot(version, '"tag"', json.dumps(document)))
    return snapshots.path(service)


class Model:
    """A class with the interface of pydantic's models."""

    def __init__(self, n: int) -> None:
        self.n = n

    @classmethod
    def model_validate(cls, value: Mapping[str, Any]) -> "Model":
        if value["n"] == 1:
            raise ValueError("one is not allowed")
        return cls(value["n"])
