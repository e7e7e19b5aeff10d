"""The files that pages load: as they were built, with their licences, kept for good by browsers."""

import gzip
import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path

from tests.support.needs import need
from tests.support.pages import Visitor
from tests.support.server import Api

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "distributed_config" / "web" / "static"

BUILT = {
    "editor.js": "919fc2552db6b264314b002919015ab8db61e8edb7ef3e0c7c7e527def2f36eb",
    "htmx.js": "a0abb04f2f45a1f89d1d4844023245537e5e6014c87b144553e0607b4cc32130",
}
"""What ``ui/build.mjs`` writes. After an upgrade, build again and write the new digests here."""


def test_what_others_wrote_is_what_was_built() -> None:
    digests = {name: hashlib.sha256((STATIC / name).read_bytes()).hexdigest() for name in BUILT}
    assert digests == BUILT


def test_what_is_shipped_can_be_built_again_to_the_byte(tmp_path: Path) -> None:
    node = shutil.which("node")
    need(bool(node) and (ROOT / "ui" / "node_modules").exists(), "Node, and npm ci in ui/")
    subprocess.run([str(node), "build.mjs", str(tmp_path)], cwd=ROOT / "ui", check=True)

    for name in (*BUILT, "LICENSES.txt"):
        assert (tmp_path / name).read_bytes() == (STATIC / name).read_bytes(), name


def test_every_package_that_is_shipped_has_its_licence_beside_it() -> None:
    licences = (STATIC / "LICENSES.txt").read_text()
    lock = json.loads((ROOT / "ui" / "package-lock.json").read_text())["packages"]
    build_only = {"esbuild", "axe-core"}
    for path, package in lock.items():
        name = path.removeprefix("node_modules/")
        if name and name not in build_only and not name.startswith("@esbuild/"):
            assert f"{name} {package['version']} (" in licences


def test_an_asset_is_kept_for_good_and_comes_packed_where_that_is_understood(
    visitor: Visitor, api: Api
) -> None:
    page = visitor.open("/ui/")
    [address] = [a["src"] for tag, a in page.elements if tag == "script" and "app.js" in a["src"]]
    packed = api.http.get(address, headers={"Accept-Encoding": "gzip"})
    plain = api.http.get(address, headers={"Accept-Encoding": "identity"})

    assert packed.headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in plain.headers
    assert packed.content == plain.content == (STATIC / "app.js").read_bytes()
    assert packed.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert plain.headers["Content-Type"] == "text/javascript; charset=utf-8"


def test_an_address_with_another_hash_or_another_file_leads_nowhere(api: Api) -> None:
    for path in ("000000000000/app.js", "000000000000/LICENSES.txt", "x/..%2Fpages.py"):
        assert api.http.get(f"/ui/static/{path}").status_code == 404


def test_our_own_scripts_make_no_markup_and_need_no_eval() -> None:
    text = (STATIC / "app.js").read_text()
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|eval\(|new Function|localStorage", text
    )


def test_the_style_sheet_styles_only_what_pages_have() -> None:
    templates = (STATIC.parent / "templates").glob("*.html")
    used = "\n".join(path.read_text() for path in (*templates, STATIC / "app.js"))
    words = set(re.findall(r"[\w-]+", used))
    # Those of the editor and of htmx are set by their own scripts, and tok-* by texts.py.
    classes = set(re.findall(r"\.([a-z][\w-]*)", (STATIC / "style.css").read_text()))
    foreign = {name for name in classes if name.startswith(("cm-", "tok-", "dc-", "htmx-"))}
    assert classes - foreign - words == set()


def test_what_a_page_loads_is_small() -> None:
    sizes = {path.name: len(gzip.compress(path.read_bytes())) for path in STATIC.glob("*.*")}
    without_editor = sum(size for name, size in sizes.items() if name.endswith(("css", "svg")))
    assert without_editor + sizes["app.js"] + sizes["htmx.js"] < 32_000
    assert sizes["editor.js"] < 150_000
