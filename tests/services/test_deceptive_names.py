"""Names that would be taken for other names are refused."""

from collections.abc import Iterator
from uuid import uuid4

import httpx2
import pytest

from distributed_config.services.access.lookalikes import find_lookalike, spelling_problem
from distributed_config.services.access.token_format import new_token
from distributed_config.services.policy.permissions import ROLES
from tests.support.server import Server

ADMINISTRATOR = new_token()


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    """Requests of an administrator."""
    folder = tmp_path_factory.mktemp("guarded") / "instance"
    headers = {"Authorization": f"Bearer {ADMINISTRATOR}"}
    with (
        Server(folder, auth="token", admin_token=ADMINISTRATOR) as running,
        httpx2.Client(base_url=running.url, trust_env=False, headers=headers) as client,
    ):
        yield client


def set_role(http: httpx2.Client, name: str) -> httpx2.Response:
    body = {"permissions": ["config:read"]}
    return http.put("/api/v1/roles", json=body, params={"name": name})


@pytest.mark.parametrize(
    "name",
    [
        "Administrator",
        "ADMINISTRATOR",
        "admin istrator",
        "organisation_administrator",
        "Organisation Administrator",
        "аdministrator",  # a Cyrillic а
        "adm1nistrator",
        "adrninistrator",
        "edıtor",
        "еԁіто г",
        "ｒｅａｄｅｒ",
        "réader",
        "reäder",
        "sуnс",
        "pub1isher",
    ],
)
def test_a_role_that_would_be_taken_for_a_built_in_one_is_refused(
    http: httpx2.Client, name: str
) -> None:
    answer = set_role(http, name)

    assert answer.status_code == 422
    assert answer.json()["problems"][0]["pointer"] == "/name"


def test_a_role_that_would_be_taken_for_another_own_one_is_refused(http: httpx2.Client) -> None:
    first = set_role(http, "on call")
    again = set_role(http, "on call")
    alike = set_role(http, "On-Call")

    assert (first.status_code, again.status_code, alike.status_code) == (200, 200, 422)
    assert "'on call'" in alike.json()["detail"]


@pytest.mark.parametrize("name", ["аналитик", "分析する人", "αναλυτής", "équipe bleue", "분석가"])
def test_roles_may_be_named_in_any_one_script(http: httpx2.Client, name: str) -> None:
    assert set_role(http, name).status_code == 200


@pytest.mark.parametrize("name", ["aналитик", "opsγ", "𝐨𝐩𝐬", "ｏｐｓ", "oﬃce"])
def test_a_role_of_several_scripts_or_special_forms_is_refused(
    http: httpx2.Client, name: str
) -> None:
    assert set_role(http, name).status_code == 422


def test_a_role_is_named_in_the_composed_form(http: httpx2.Client) -> None:
    assert set_role(http, "e\u0301toile").json()["name"] == "étoile"


def test_an_organisation_that_would_be_taken_for_another_is_refused(http: httpx2.Client) -> None:
    def make(name: str) -> int:
        return http.post("/api/v1/organisations", json={"name": name}).status_code

    assert make("Acme Bank") == 200
    for name in ("acme bank", "Acme-Bank", "Асме Ваnk", "Acrne Bank", "Default", "defau1t"):
        assert make(name) == 422, name
    assert make("Acme Bakery") == 200

    def rename(to: str) -> int:
        path = "/api/v1/organisations"
        return http.patch(path, json={"name": to}, params={"name": "Acme Bakery"}).status_code

    assert rename("ACME BANK") == 422
    assert rename("ACME Bakery") == 200


@pytest.mark.parametrize("letter", ["\u200b", "\u202e", "\u2066", "\x7f", "\u00ad"])
def test_an_address_has_no_letters_that_cannot_be_seen(http: httpx2.Client, letter: str) -> None:
    body = {
        "email": f"{uuid4().hex[:6]}{letter}@example.org",
        "password": "correct horse battery staple",
        "role": "reader",
    }
    answer = http.post("/api/v1/users", json=body)

    assert answer.status_code == 422
    assert answer.json()["problems"][0]["pointer"] == "/email"


def test_the_built_in_roles_are_spelt_well_and_look_different() -> None:
    for name in ROLES:
        assert spelling_problem(name) is None
        assert find_lookalike(name, set(ROLES) - {name}) is None
