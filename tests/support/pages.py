"""Pages as a browser without scripts has them: links to follow, and forms to send."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx2

_EMPTY = {"meta", "link", "input", "br", "hr", "img", "col"}


@dataclass
class Form:
    """A form with what its fields hold, and the buttons that send it: text, name, value, action."""

    method: str
    action: str
    encoding: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: list[tuple[str, str, str, str]] = field(default_factory=list)


class Parsed(HTMLParser):
    """What a page has: its elements with attributes, its text, its links and its forms."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.links: dict[str, str] = {}
        self.forms: list[Form] = []
        self._link: tuple[str, list[str]] | None = None
        self._button: tuple[dict[str, str], list[str]] | None = None
        self._area: tuple[str, list[str]] | None = None
        self.inside_script = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        given = {name: value or "" for name, value in attrs}
        self.elements.append((tag, given))
        if tag not in _EMPTY:
            self._open.append(tag)
        if tag == "a":
            self._link = (given.get("href", ""), [])
        elif tag == "form":
            encoding = given.get("enctype", "application/x-www-form-urlencoded")
            method = given.get("method", "get").lower()
            self.forms.append(Form(method, given.get("action", ""), encoding))
        elif tag == "button":
            self._button = (given, [])
        elif tag == "textarea":
            self._area = (given.get("name", ""), [])
        elif tag == "input" and self.forms and "name" in given and "form" in self._open:
            self._take(given)

    def _take(self, given: dict[str, str]) -> None:
        if given.get("type") in {"radio", "checkbox"} and "checked" not in given:
            return
        self.forms[-1].fields[given["name"]] = given.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass
        if tag == "a" and self._link is not None:
            self.links[" ".join("".join(self._link[1]).split())] = self._link[0]
            self._link = None
        elif tag == "button" and self._button is not None:
            given, words = self._button
            if "form" in self._open and self.forms and given.get("type") != "button":
                text = " ".join("".join(words).split())
                made = (text, given.get("name", ""), given.get("value", ""))
                self.forms[-1].buttons.append((*made, given.get("formaction", "")))
            self._button = None
        elif tag == "textarea" and self._area is not None:
            # A browser leaves out the newline right after the tag.
            self.forms[-1].fields[self._area[0]] = "".join(self._area[1]).removeprefix("\n")
            self._area = None

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] in {"script", "style"}:
            self.inside_script += data
            return
        self.words.append(data)
        for taker in (self._link, self._button, self._area):
            if taker is not None:
                taker[1].append(data)


class Visitor:
    """Somebody with a browser without scripts: follows links, fills in forms, keeps cookies."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = httpx2.Client(
            base_url=url,
            timeout=30,
            trust_env=False,
            headers={"Accept": "text/html,*/*;q=0.8"},
        )
        self.response: httpx2.Response
        self.page: Parsed
        self.path = ""

    def close(self) -> None:
        self.http.close()

    def open(self, path: str, **headers: str) -> Parsed:
        return self._take(self.http.get(path, headers=headers), path)

    def follow(self, words: str) -> Parsed:
        """Follow the first link whose text begins with ``words``."""
        target = next(href for text, href in self.page.links.items() if text.startswith(words))
        return self.open(urljoin(self.path, target))

    def send(self, words: str, **fields: str) -> Parsed:
        """Press the button whose text begins with ``words``, after filling in fields."""
        form, (_, name, value, action) = next(
            (form, button)
            for form in self.page.forms
            for button in form.buttons
            if button[0].startswith(words)
        )
        content = {**form.fields, **fields, **({name: value} if name else {})}
        target = urljoin(self.path, action or form.action)
        if form.method == "get":
            return self.open(str(httpx2.URL(target, params=content)))
        return self.post(target, content, multipart=form.encoding == "multipart/form-data")

    def post(
        self, path: str, content: dict[str, str], *, multipart: bool = False, **headers: str
    ) -> Parsed:
        sent = {"Origin": self.url, "Sec-Fetch-Site": "same-origin", **headers}
        # Line ends as browsers send them.
        content = {name: value.replace("\n", "\r\n") for name, value in content.items()}
        if multipart:
            files = {name: (None, value) for name, value in content.items()}
            return self._take(self.http.post(path, files=files, headers=sent), path)
        return self._take(self.http.post(path, data=content, headers=sent), path)

    def _take(self, response: httpx2.Response, path: str) -> Parsed:
        self.response, self.path = response, path
        if response.status_code == 303:
            return self.open(response.headers["Location"])
        self.page = Parsed(response.text)
        return self.page

    @property
    def where(self) -> str:
        """The address of the page that is open now, without the server's name."""
        parts = urlsplit(str(self.response.url))
        return f"{parts.path}?{parts.query}" if parts.query else parts.path
