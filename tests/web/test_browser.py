"""The interface in a real browser: every page in both colours and widths, and what scripts add."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.browser import AXE, Window, chromium
from tests.support.callers import PASSWORD
from tests.support.needs import need
from tests.support.server import Api, Server, free_port
from tests.support.waiting import until

SERVICE = "shop/basket"
PAGES = [
    "/ui/",
    "/ui/?q=nothing-is-called-so",
    "/ui/live",
    "/ui/new",
    "/ui/service?service=shop/basket",
    "/ui/service?service=shop/basket&environment=production",
    "/ui/explain?service=shop/basket&environment=production",
    "/ui/edit?service=shop/basket",
    "/ui/history?service=shop/basket",
    "/ui/history?service=shop/basket&v=1",
    "/ui/undo?service=shop/basket",
    "/ui/restore?service=shop/basket&v=0",
    "/ui/service?service=unknown",
    "/ui/service?service=hostile/long",
    "/ui/compare?service=shop/basket",
    "/ui/definitions",
    "/ui/definition?definition=web",
    "/ui/access",
    "/ui/audit",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a service that has a definition, a secret, environments and a history."""
    with Server(tmp_path_factory.mktemp("shop") / "instance") as running:
        api = running.api
        schema = {
            "properties": {
                "tier": {"enum": ["gold", "silver"], "description": "What is paid for."},
                "port": {"type": "integer", "maximum": 65535},
                "password": {"type": "string", "x-secret": True},
            }
        }
        api.define("web", schema)
        api.http.post("/api/v1/environments", json={"name": "production", "protected": True})
        for number in range(3):
            document = {"tier": "gold", "port": 8080 + number, "password": "a-secret"}
            api.put(SERVICE, document, definition="web", note=f"Number {number}")
        api.put(SERVICE, {"port": 443}, environment="production", note="Closer")
        api.http.put("/api/v1/services/tags", params={"service": SERVICE}, json={"tags": ["eu"]})
        long = {"<script>": "<b>x</b>", "long": "x" * 3000, "deep": [[{"a": [1] * 30}]]}
        api.put("hostile/long", long, note="<script>alert(1)</script>" + "n" * 300)
        user = {"email": "ada.lovelace.with.a.long.address@example.org", "role": "editor"}
        api.http.post("/api/v1/users", json={**user, "password": PASSWORD})
        api.http.post("/api/v1/tokens", json={"name": "deployer", "role": "publisher"})
        api.put("ml/a-name-that-is-far-too-long-for-any-column-of-any-table-anywhere/v2", {})
        yield running


@pytest.fixture
def window(browser: Any, shop: Server) -> Iterator[Window]:
    opened = Window(browser, shop.url, viewport={"width": 1280, "height": 844})
    yield opened
    opened.close()
    assert opened.complaints == []


@pytest.fixture
def api_of_shop(shop: Server) -> Api:
    return shop.api


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_every_page_is_clean_in_both_colours_and_widths(
    browser: Any, shop: Server, colours: str, width: int
) -> None:
    need(AXE.exists(), "axe-core (npm ci --ignore-scripts in ui/)")
    size = {"width": width, "height": 844}
    window = Window(browser, shop.url, viewport=size, color_scheme=colours)
    wrong = []
    for path in PAGES:
        window.page.goto(path)
        if "/edit" in path or "/new" in path:
            window.page.locator(".cm-content").wait_for()
        wrong += [(path, each) for each in window.violations()]
        wrong += [(path, "scrolls sideways")] if window.overflow() else []
    window.close()

    assert wrong == []
    assert window.complaints == []


def test_no_page_scrolls_sideways_at_320_pixels(browser: Any, shop: Server) -> None:
    window = Window(browser, shop.url, viewport={"width": 320, "height": 640})
    wide = []
    for path in PAGES:
        window.page.goto(path)
        wide += [path] if window.overflow() else []
    window.close()

    assert wide == []


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_a_review_of_long_values_fits_and_every_value_can_be_read(
    browser: Any, shop: Server, name: str, width: int
) -> None:
    before = {"gone": "word " * 60, "a-key-" * 12: {"deep": "x" * 400}, "short": 1}
    shop.api.put(name, before)
    window = Window(browser, shop.url, viewport={"width": width, "height": 844})
    window.page.goto(f"/ui/edit?service={name}")
    window.page.locator(".cm-content").focus()
    window.page.keyboard.press("Control+a")
    window.page.keyboard.insert_text(json.dumps({"new": "y" * 400, "short": 2}))
    window.page.get_by_text("It can be published").wait_for()
    assert not window.overflow()
    window.page.get_by_role("button", name="Review the change").click()
    window.page.get_by_role("button", name="Publish version 1").wait_for()
    boxes = window.page.locator("main .values .to, main .values .from").all()
    narrow = [box.inner_text() for box in boxes if box.bounding_box()["width"] < 12]
    outside = [
        box.inner_text()[:20]
        for box in boxes
        if box.bounding_box()["x"] + box.bounding_box()["width"] > width
    ]
    overflows = window.overflow()
    window.close()

    assert (narrow, outside, overflows) == ([], [], False)


def test_a_change_is_made_with_the_keyboard_alone(
    window: Window, api_of_shop: Api, name: str
) -> None:
    api_of_shop.define(name, {"properties": {"tier": {"enum": ["gold", "silver"]}}})
    api_of_shop.put(name, {"tier": "gold"}, definition=name)
    page, keys = window.page, window.page.keyboard
    page.goto("/ui/")
    keys.press("/")
    keys.type(name)
    page.locator("#rows th").first.get_by_text(name).wait_for()
    while page.evaluate("document.activeElement.textContent") != name:
        keys.press("Tab")
    keys.press("Enter")
    page.wait_for_url("**/ui/service?**")
    keys.press("e")
    page.locator(".cm-content").focus()
    keys.press("Control+a")
    keys.type('{"tier": "bronze"')
    page.locator(".cm-lintRange-error").wait_for()
    page.get_by_text("1 problem").wait_for()
    keys.press("Control+a")
    keys.type('{"tier": "')
    keys.press("Control+Space")
    page.locator(".cm-tooltip-autocomplete").get_by_text("silver").wait_for()
    # The editor takes no choice that comes sooner than a person can have read the list.
    page.wait_for_timeout(300)
    keys.press("ArrowDown")
    keys.press("Enter")
    page.get_by_text("It can be published").wait_for()
    keys.press("Control+Enter")
    page.get_by_role("button", name="Publish version 1").focus()
    keys.press("Enter")
    page.get_by_text("Version 1 is published.").wait_for()
    assert api_of_shop.get(name, version="current").json() == {"tier": "silver"}

    keys.press("u")
    page.get_by_label("Why?").wait_for()
    keys.type("It was gold")
    keys.press("Enter")
    page.get_by_text("Version 0 is current now.").wait_for()


def test_two_people_edit_one_service_and_neither_loses_anything(
    browser: Any, window: Window, shop: Server, name: str
) -> None:
    shop.api.put(name, {"one": 1, "two": 1})
    other = Window(browser, shop.url)
    for each, document in ((window, {"one": 2, "two": 1}), (other, {"one": 1, "two": 2})):
        each.page.goto(f"/ui/edit?service={name}")
        each.page.locator(".cm-content").focus()
        each.page.keyboard.press("Control+a")
        # Not fill(): it makes markup with a style of its own.
        each.page.keyboard.insert_text(json.dumps(document))
        each.page.get_by_text("It can be published").wait_for()
    window.page.get_by_role("button", name="Review the change").click()
    window.page.get_by_role("button", name="Publish version 1").click()
    window.page.get_by_text("Version 1 is published.").wait_for()
    other.page.get_by_role("button", name="Review the change").click()
    other.page.get_by_text("while you were editing").wait_for()
    other.page.get_by_role("button", name="Merge, and review again").click()
    other.page.get_by_role("button", name="Publish version 2").click()
    other.page.get_by_text("Version 2 is published.").wait_for()
    other.close()

    assert shop.api.get(name, version="current").json() == {"one": 2, "two": 2}


def test_changes_arrive_by_themselves_and_wait_while_the_page_is_paused(
    window: Window, api_of_shop: Api, name: str
) -> None:
    page = window.page
    page.goto("/ui/live")
    page.locator("[data-live]").get_by_text("Live").wait_for()
    api_of_shop.put(name, {}, note="<b>by itself</b>")
    first = page.locator("[data-feed] li").first
    first.get_by_text("version 0 published").wait_for()
    first.get_by_text("<b>by itself</b>").wait_for()
    page.keyboard.press("p")
    api_of_shop.put(name, {"a": 1})
    page.get_by_role("button", name="Go on (1)").wait_for()
    assert "version 1" not in first.inner_text()
    page.keyboard.press("p")
    page.locator("[data-feed] li").first.get_by_text("version 1 published").wait_for()


def test_a_restart_of_the_server_loses_and_repeats_nothing_on_an_open_page(
    browser: Any, own_server: Server
) -> None:
    window = Window(browser, own_server.url)
    window.page.goto("/ui/live")
    window.page.locator("[data-live]").get_by_text("Live", exact=True).wait_for()
    own_server.stop()
    window.page.locator("#away").wait_for()
    own_server.start()
    for number in range(3):
        own_server.api.put("after", {"n": number})
    window.page.locator("[data-feed]").get_by_text("version 2 published").wait_for()
    entries = window.page.locator("[data-feed] li").all_inner_texts()
    window.close()

    numbers = [int(entry.partition("version ")[2].split()[0]) for entry in entries]
    assert numbers == [2, 1, 0]


def answers(api: Api) -> bool:
    try:
        return api.http.get("/healthz").status_code == 200
    except httpx2.TransportError:
        return False


def test_on_a_plain_wsgi_server_changes_arrive_as_well(browser: Any, own_server: Server) -> None:
    own_server.stop()
    port = free_port()
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "run", "--port", str(port)]
    process = subprocess.Popen(
        command,
        env=own_server.environment,
        cwd=Path(__file__).parents[2],
        stderr=subprocess.DEVNULL,
    )
    api = Api(f"http://127.0.0.1:{port}")
    try:
        until(lambda: answers(api))
        window = Window(browser, api.url)
        window.page.goto("/ui/live")
        api.put("plain", {})
        window.page.locator("[data-feed]").get_by_text("version 0 published").wait_for()
        api.put("plain", {"a": 1})
        window.page.locator("[data-feed]").get_by_text("version 1 published").wait_for()
        window.close()
        assert window.complaints == []
    finally:
        api.close()
        process.terminate()
        process.wait(10)


def test_ten_windows_are_open_and_none_hangs(browser: Any, shop: Server) -> None:
    window = Window(browser, shop.url)
    pages = [window.context.new_page() for _ in range(10)]
    for page in pages:
        page.goto("/ui/live")
        page.locator("[data-live]").get_by_text("Live", exact=True).wait_for()
    window.page.goto(f"/ui/history?service={SERVICE}")
    window.page.get_by_text("compared with").wait_for()
    window.close()


def test_leaving_a_draft_asks_first(window: Window, api_of_shop: Api, name: str) -> None:
    api_of_shop.put(name, {})
    asked = []
    window.page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    window.page.goto(f"/ui/edit?service={name}")
    window.page.locator(".cm-content").press_sequentially(" ")
    window.page.get_by_role("link", name="Leave").click()
    window.page.wait_for_url("**/ui/service?**")

    assert asked == ["beforeunload"]


def test_without_scripts_a_change_is_made_all_the_same(
    browser: Any, shop: Server, name: str
) -> None:
    shop.api.put(name, {"a": 1})
    window = Window(browser, shop.url, java_script_enabled=False)
    page = window.page
    page.goto(f"/ui/edit?service={name}")
    page.get_by_label("Document").fill('{"a": 2}')
    page.get_by_role("button", name="Review the change").click()
    page.get_by_role("button", name="Publish version 1").click()
    assert page.get_by_text("Version 1 is published.").is_visible()
    assert not page.get_by_role("button", name="Copy").is_visible()
    window.close()


def test_no_other_site_can_frame_a_page_or_send_its_forms(
    browser: Any, shop: Server, own_server: Server
) -> None:
    """The other site is another port of this machine, whose page is replaced on its way."""
    window = Window(browser, shop.url)
    page = window.page
    target = f"{shop.url}/ui/undo?service={SERVICE}"
    evil = f'<iframe src="{target}"></iframe><form method="post" action="{target}"><button>go'
    evil_url = own_server.url.replace("127.0.0.1", "localhost") + "/evil"
    page.route("**/evil", lambda route: route.fulfill(body=evil, content_type="text/html"))
    page.goto(evil_url)
    assert page.frames[1].locator("text=Go back").count() == 0
    page.locator("button").click()
    page.get_by_text("You may not do this").wait_for()
    window.close()

    assert shop.api.get(SERVICE, version="current").json()["port"] == 8082


def test_somebody_logs_in_and_out_with_a_real_browser(
    browser: Any, guarded: Server, accounts: Any
) -> None:
    window = Window(browser, guarded.url)
    page = window.page
    page.goto("/ui/live")
    page.get_by_label("Email address").fill(accounts("reader")["email"])
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/ui/live")
    page.locator("[data-live]").get_by_text("Live", exact=True).wait_for()
    page.locator(".account summary").click()
    page.get_by_role("button", name="Log out").click()
    page.get_by_label("Email address").wait_for()
    page.go_back()
    page.get_by_label("Email address").wait_for()
    window.close()

    assert window.complaints == []
