"""The source code of the package, for tests of its shape."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "distributed_config"

# A room may import rooms of the floors below its own, and itself.
FLOORS = (
    {"errors"},
    {"wire", "settings"},
    {"formats", "json_schema"},
    {"models", "client"},
    {"services"},
    {"store"},
    {"schemas"},
    {"live"},
    {"asgi", "http"},
    {"identity"},
    {"api", "dialects", "web"},
    {"app"},
    {"commands"},
    {"wsgi", "gunicorn_conf", "cli"},
    {"__main__"},
)
FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


def imports_of(tree: ast.AST) -> Iterator[str]:
    """Yield the dotted name of every module, and of every name, that ``tree`` imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module or ""
            yield from (f"{node.module}.{name.name}" for name in node.names)


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")
