"""Files of settings: profiles of servers, and the plans of sidecars."""

import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distributed_config.client.client import DEFAULT_URL
from distributed_config.client.http.token_file import token_in
from distributed_config.errors import Invalid, Problem


@dataclass(frozen=True)
class Profile:
    """A server, and who one is there."""

    url: str
    token: str = field(default="", repr=False)


def profile_of(name: str | None, environ: Mapping[str, str]) -> Profile:
    """The profile ``name``, or DISTCONF_PROFILE; without either the environment's server.

    Profiles are in the file that DISTCONF_PROFILES names, or in
    ``~/.config/distconf/profiles.json`` (or .toml): ``{"prod": {"url": …, "token_file": …}}``.
    Raises Invalid if there is no such profile, or it makes no sense.
    """
    url = environ.get("DISTCONF_URL") or DEFAULT_URL
    wanted = name or environ.get("DISTCONF_PROFILE")
    if not wanted:
        return Profile(url)
    file = _profiles(environ)
    found = read_file(file) if file is not None else {}
    entry = found.get(wanted) if isinstance(found, dict) else None
    if not isinstance(entry, dict) or not isinstance(entry.get("url"), str):
        known = ", ".join(found) if isinstance(found, dict) and found else "none"
        message = (
            f"There is no such profile with a url in {file or 'any file'}; there are: {known}."
        )
        raise Invalid.from_problems([Problem("", message, "profile", wanted)])
    wrong = [
        Problem("", f"The {each} of the profile {wanted!r} must be text.", "type", str(file))
        for each in ("token", "token_file")
        if not isinstance(entry.get(each, ""), str)
    ]
    if wrong:
        raise Invalid.from_problems(wrong)
    token = entry.get("token", "")
    if entry.get("token_file"):
        token = token_in(Path(entry["token_file"]).expanduser(), str(file))
    return Profile(entry["url"], token)


def _profiles(environ: Mapping[str, str]) -> Path | None:
    if environ.get("DISTCONF_PROFILES"):
        return Path(environ["DISTCONF_PROFILES"])
    folder = Path(environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "distconf"
    files = [folder / f"profiles.{ending}" for ending in ("json", "toml", "yaml")]
    return next((file for file in files if file.exists()), None)


def read_file(file: Path) -> Any:
    """The value in a file of JSON, TOML or YAML, by its ending.

    TOML needs Python 3.11, and YAML that ruamel.yaml is installed; Invalid is raised where they
    are not, and where the file cannot be understood.
    """
    kind = file.suffix.lower()
    data = file.read_bytes()
    try:
        text = data.decode()
        if kind == ".toml":
            return importlib.import_module("tomllib").loads(text)
        if kind in {".yaml", ".yml"}:
            return importlib.import_module("ruamel.yaml").YAML(typ="safe", pure=True).load(text)
        return json.loads(text)
    except UnicodeDecodeError:
        message = "It is no text in UTF-8. Save it as JSON, TOML or YAML."
        raise Invalid.from_problems([Problem("", message, "format", str(file))]) from None
    except ImportError as error:
        message = f"It cannot be read here ({error}). Write it as JSON, which is YAML as well."
        raise Invalid.from_problems([Problem("", message, "format", str(file))]) from None
    except Exception as error:  # of three readers, each with its own
        raise Invalid.from_problems([Problem("", f"{error}", "format", str(file))]) from None
