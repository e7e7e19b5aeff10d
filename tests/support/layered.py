"""A slow model of environments, extensions and references, written from their definition alone.

Nothing of the product is used: what a test compares with this is what the manual promises.
"""

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

MOST_LAYERS = 32
MOST_REFERENCES = 500
MOST_DEEP = 8
NOTHING = object()

_lives = count(1)


class Unsound(Exception):
    """A write that must be refused: it would make something that nobody can resolve."""


class Refused(Exception):
    """A write that must be refused for a plainer reason."""


@dataclass
class Version:
    """One version; ``life`` tells it from every other one, also of an earlier series."""

    text: str
    enabled: bool = True
    deleted: bool = False
    life: int = field(default_factory=lambda: next(_lives))


@dataclass
class Service:
    """What a service extends, and its series by environment."""

    extends: list[str] = field(default_factory=list)
    series: dict[str, list[Version]] = field(default_factory=dict)
    life: int = field(default_factory=lambda: next(_lives))

    def current(self, environment: str) -> int | None:
        enabled = [i for i, one in enumerate(self.series.get(environment, ())) if one.enabled]
        return enabled[-1] if enabled else None

    def document(self, environment: str) -> Any:
        number = self.current(environment)
        return NOTHING if number is None else json.loads(self.series[environment][number].text)


class World:
    """All services and environments of an organisation, at one revision."""

    def __init__(self) -> None:
        self.inherits: dict[str, str | None] = {"default": None}
        self.services: dict[str, Service] = {}

    def copy(self) -> "World":
        return copy.deepcopy(self)

    # --- what is promised

    def resolved(self, service: str, environment: str) -> Any:
        """Return the resolved document, or NOTHING. Raises Unsound."""
        if service not in self.services or environment not in self.inherits:
            return NOTHING
        one = self.services[service]
        value = self._merged(one, environment)
        return value if value is NOTHING else self._filled(value, environment)

    def _merged(self, one: Service, environment: str) -> Any:
        """Return the layers as one, with the references that are in it; or NOTHING."""
        parts = [self.resolved(parent, environment) for parent in one.extends]
        parts += [one.document(link) for link in self.chain(environment)]
        value: Any = NOTHING
        for part in parts:
            if part is not NOTHING:
                value = part if value is NOTHING else merged(value, part)
        return value

    def _filled(self, value: Any, environment: str) -> Any:
        if isinstance(value, list):
            return [self._filled(child, environment) for child in value]
        if not isinstance(value, dict):
            return value
        if "$use" not in value:
            return {key: self._filled(child, environment) for key, child in value.items()}
        service, pointer = reference_of(value)
        return at(self.resolved(service, environment), pointer)

    # --- what is told beside it

    def chain(self, environment: str) -> list[str]:
        """Return the chain of an environment, its root first. Raises Unsound for a circle."""
        chain: list[str] = []
        name: str | None = environment
        while name is not None:
            if name in chain:
                raise Unsound("an environment inherits from itself")
            chain.append(name)
            name = self.inherits[name]
        return chain[::-1]

    def layers(self, service: str, environment: str) -> list[tuple[str, str, int]]:
        """Return the layers in their order; one that two services bring is there once."""
        if service not in self.services:
            return []
        one = self.services[service]
        found = [each for parent in one.extends for each in self.layers(parent, environment)]
        numbers = ((link, one.current(link)) for link in self.chain(environment))
        found += [(service, link, number) for link, number in numbers if number is not None]
        return list(dict.fromkeys(found))

    def uses(self, service: str, environment: str) -> set[str]:
        """Return the services that references in a document led to, directly or not."""
        if service not in self.services:
            return set()
        one = self.services[service]
        value = self._merged(one, environment)
        direct = set() if value is NOTHING else set(targets_in(value))
        further = [self.uses(each, environment) for each in {*direct, *one.extends}]
        return direct.union(*further)

    def pairs(self) -> list[tuple[str, str]]:
        return [(service, place) for service in self.services for place in self.inherits]

    def basis(self, service: str, environment: str) -> set[int]:
        """Return the lives of all services and documents that a resolved document may rest on."""
        names, waiting, lives = {service}, [service], set()
        while waiting:
            one = self.services.get(waiting.pop())
            if one is None:
                continue
            lives.add(one.life)
            named = list(one.extends)
            for link in self.chain(environment):
                number = one.current(link)
                if number is not None:
                    lives.add(one.series[link][number].life)
                    named += targets_in(one.document(link))
            waiting += [each for each in named if each not in names]
            names.update(named)
        return lives

    def lives(self) -> set[int]:
        """Return the lives of all services and documents that still exist."""
        services = self.services.values()
        versions = (one for each in services for series in each.series.values() for one in series)
        return {each.life for each in services} | {one.life for one in versions if not one.deleted}

    # --- what must be refused

    def require_sound(self) -> None:
        """Raise Unsound if anything cannot be resolved, or is above a limit."""
        self._require_no_circle()
        for environment in self.inherits:
            if len(self.chain(environment)) > MOST_DEEP:
                raise Unsound("a chain is too deep")
        for service, environment in self.pairs():
            self.resolved(service, environment)
            if len(self.layers(service, environment)) > MOST_LAYERS:
                raise Unsound("there are too many layers")

    def _require_no_circle(self) -> None:
        rests_on = {name: self._rests_on(service) for name, service in self.services.items()}
        while rests_on:
            free = [name for name, on in rests_on.items() if not on & rests_on.keys()]
            if not free:
                raise Unsound(f"a circle among {sorted(rests_on)}")
            for name in free:
                del rests_on[name]

    def _rests_on(self, service: Service) -> set[str]:
        documents = (service.document(place) for place in service.series)
        used = (targets_in(one) for one in documents if one is not NOTHING)
        return {*service.extends, *(name for names in used for name in names)}

    # --- writing

    def post(self, service: str, environment: str, text: str) -> None:
        if self._series(service, environment):
            raise Refused("there is one")
        self._append(service, environment, text)

    def put(self, service: str, environment: str, text: str) -> None:
        self._require_environment(environment)
        one = self.services.get(service)
        number = None if one is None else one.current(environment)
        if one is None or number is None or one.series[environment][number].text != text:
            self._append(service, environment, text)

    def append(self, service: str, environment: str, text: str) -> None:
        if not self._series(service, environment):
            raise Refused("there is no series")
        self._append(service, environment, text)

    def merge(self, service: str, environment: str, patch: dict[str, Any]) -> None:
        base = self.services[service].document(environment) if service in self.services else NOTHING
        if base is NOTHING or not self._series(service, environment):
            raise Refused("nothing is current")
        self._append(service, environment, text_of(merged(base, patch)))

    def roll_back(self, service: str, environment: str, number: int) -> None:
        self._append(service, environment, self._version(service, environment, number).text)

    def set_enabled(self, service: str, environment: str, number: int, enabled: bool) -> None:
        self._version(service, environment, number).enabled = enabled

    def delete_version(self, service: str, environment: str, number: int) -> None:
        version = self._version(service, environment, number)
        if version.enabled:
            raise Refused("it is enabled")
        version.deleted = True

    def delete(self, service: str, environment: str) -> None:
        series = self._series(service, environment)
        if not series or any(version.enabled for version in series):
            raise Refused("there is none, or it is enabled")
        del self.services[service].series[environment]
        if not self.services[service].series:
            del self.services[service]
            if any(service in one.extends for one in self.services.values()):
                raise Unsound("another service extends it")

    def extend(self, service: str, targets: list[str]) -> None:
        if not {service, *targets} <= self.services.keys() or len(set(targets)) < len(targets):
            raise Refused("a service is not there, or named twice")
        self.services[service].extends = targets

    def promote(self, services: list[str], source: str, target: str) -> None:
        for name in services:
            document = self.services[name].document(source) if name in self.services else NOTHING
            if document is NOTHING or source == target:
                raise Refused("there is nothing to copy")
            number = self.services[name].current(source)
            assert number is not None
            self.put(name, target, self.services[name].series[source][number].text)

    def create_environment(self, name: str, inherits: str | None) -> None:
        if name in self.inherits or (inherits is not None and inherits not in self.inherits):
            raise Refused("there is one, or no such parent")
        self.inherits[name] = inherits

    def change_environment(self, name: str, inherits: str | None) -> None:
        self._require_environment(name)
        if inherits is not None:
            self._require_environment(inherits)
        self.inherits[name] = inherits

    def delete_environment(self, name: str) -> None:
        self._require_environment(name)
        used = any(name in one.series for one in self.services.values())
        if name == "default" or used or name in self.inherits.values():
            raise Refused("it is used")
        del self.inherits[name]

    def _require_environment(self, name: str) -> None:
        if name not in self.inherits:
            raise Refused("there is no such environment")

    def _series(self, service: str, environment: str) -> list[Version]:
        self._require_environment(environment)
        one = self.services.get(service)
        return [] if one is None else one.series.get(environment, [])

    def _version(self, service: str, environment: str, number: int) -> Version:
        series = self._series(service, environment)
        if number >= len(series) or series[number].deleted:
            raise Refused("there is no such version")
        return series[number]

    def _append(self, service: str, environment: str, text: str) -> None:
        one = self.services.setdefault(service, Service())
        one.series.setdefault(environment, []).append(Version(text))


def merged(target: Any, patch: Any) -> Any:
    """Merge as RFC 7396 does, in the words of its pseudocode."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


def text_of(value: Any) -> str:
    """Return the text that is stored and served for a value."""
    return json.dumps(value, ensure_ascii=False)


def reference_of(value: dict[str, Any]) -> tuple[str, str]:
    """Return the service and the pointer of a reference. Raises Unsound unless it is one."""
    text = value["$use"]
    if len(value) > 1 or not isinstance(text, str) or "#" not in text:
        raise Unsound(f"{value} is no reference")
    service, _, pointer = text.partition("#")
    if pointer and not pointer.startswith("/"):
        raise Unsound(f"{value} is no reference")
    return service, pointer


def at(value: Any, pointer: str) -> Any:
    """Return what a JSON pointer (RFC 6901) leads to. Raises Unsound if there is nothing."""
    for escaped in pointer.split("/")[1:]:
        token = escaped.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and token in value:
            value = value[token]
        elif isinstance(value, list) and token in map(str, range(len(value))):
            value = value[int(token)]
        else:
            raise Unsound(f"there is nothing at {pointer}")
    if value is NOTHING:
        raise Unsound("there is no such service here")
    return value


def targets_in(value: Any) -> Iterator[str]:
    """Yield the services that the references in a document name."""
    if isinstance(value, list):
        for child in value:
            yield from targets_in(child)
    elif isinstance(value, dict):
        if "$use" in value:
            text = value["$use"]
            if len(value) == 1 and isinstance(text, str) and "#" in text:
                yield text.partition("#")[0]
            return
        for child in value.values():
            yield from targets_in(child)


def places_in(value: Any, pointer: str = "") -> Iterator[str]:
    """Yield the JSON pointers of everything in a value, itself first."""
    yield pointer
    if isinstance(value, dict):
        for key, child in value.items():
            yield from places_in(child, f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}")
    elif isinstance(value, list):
        for position, child in enumerate(value):
            yield from places_in(child, f"{pointer}/{position}")
