"""What the manual and the README say of the code's shape is true of the code."""

import ast
import importlib
import re

from tests.test_structure import FLOOR_OF, PACKAGE, ROOT, imports_of, room_of, sources

PAGE = ROOT / "docs" / "architecture.md"
NAMES = re.compile(r"`([\w/.-]+)`")


def names(text: str) -> set[str]:
    """What a page puts in code marks, outside its code blocks."""
    return set(NAMES.findall(re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)))


def exists(name: str) -> bool:
    """Whether a path is there: in the package, or beside it."""
    return any((folder / name).exists() for folder in (PACKAGE, ROOT))


def resolve(name: str) -> object:
    """The object that ``room.module.name`` stands for. Raises AttributeError if there is none."""
    parts = name.split(".")
    found: object = importlib.import_module("distributed_config")
    for position, part in enumerate(parts):
        path = PACKAGE.joinpath(*parts[: position + 1])
        is_module = path.is_dir() or path.with_suffix(".py").exists()
        dotted = ".".join(["distributed_config", *parts[: position + 1]])
        found = importlib.import_module(dotted) if is_module else getattr(found, part)
    return found


def test_every_file_that_the_page_on_architecture_names_is_there() -> None:
    paths = {name for name in names(PAGE.read_text()) if "/" in name or name.endswith(".py")}
    paths -= {"/config"}

    assert len(paths) > 30
    assert [path for path in sorted(paths) if not exists(path)] == []


def test_every_function_that_the_page_on_architecture_names_is_there() -> None:
    dotted = {
        name
        for name in names(PAGE.read_text())
        if "." in name and "/" not in name and not name.endswith(".py")
    }

    assert len(dotted) > 5
    for name in dotted:
        resolve(name)


def test_every_value_that_the_page_on_architecture_lists_is_where_it_says() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `([\w/.]+)` \|", PAGE.read_text(), re.MULTILINE)

    assert len(rows) > 5
    for name, path in rows:
        classes = ast.walk(ast.parse((PACKAGE / path).read_text()))
        assert name in {node.name for node in classes if isinstance(node, ast.ClassDef)}, name


def picture() -> str:
    """The picture of the rooms, as Mermaid text."""
    return (ROOT / "README.md").read_text().split("```mermaid\n")[1].split("```")[0]


def rooms() -> set[str]:
    """The folders of the package. Migrations have no room: nothing imports them."""
    folders = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    return folders - {"migrations"}


def imported_rooms() -> set[tuple[str, str]]:
    """The pairs of rooms of which the first imports the second."""
    pairs = set()
    for path in sources():
        for name in imports_of(ast.parse(path.read_text())):
            parts = name.split(".")
            if parts[0] == "distributed_config" and len(parts) > 1:
                pairs.add((room_of(path), parts[1]))
    return pairs


def test_the_picture_in_the_readme_shows_every_room() -> None:
    drawn = set(re.findall(r'(\w+)\["<b>', picture()))

    assert rooms() <= drawn
    assert drawn <= FLOOR_OF.keys()


def test_every_arrow_in_the_picture_is_an_import_and_points_downwards() -> None:
    arrows = re.findall(r"^ *(\w+) --> (\w+)$", picture(), re.MULTILINE)

    assert len(arrows) > 10
    assert set(arrows) <= imported_rooms()
    assert all(FLOOR_OF[lower] < FLOOR_OF[upper] for upper, lower in arrows)


def test_the_list_of_rooms_in_the_readme_is_whole() -> None:
    text = (ROOT / "README.md").read_text().split("## How it is laid out")[1]
    rows = re.findall(r"^\| (`[\w/`, ]+) \|", text, re.MULTILINE)
    listed = {name for row in rows for name in re.findall(r"`(\w+)/?`", row)}

    assert rooms() <= listed
    assert listed - {"migrations"} <= FLOOR_OF.keys()


def test_no_page_names_a_file_of_the_package_that_is_not_there() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    gone = [
        f"{page.name}: {name}"
        for page in pages
        for name in names(page.read_text())
        if name.endswith(".py") and not exists(name)
    ]
    assert gone == []
