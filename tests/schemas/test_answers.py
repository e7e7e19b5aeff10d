"""Responses: what is rendered by hand has exactly the keys that its schema describes."""

from dataclasses import dataclass

import pytest

from distributed_config import wire
from distributed_config.errors import Problem
from distributed_config.json_schema import Reason
from distributed_config.schemas import account_answers, answers
from distributed_config.schemas.audit_entries import render_entry
from distributed_config.schemas.changes import render_change
from distributed_config.schemas.versions import render_version, render_version_with_document
from distributed_config.services.access.grants import Grant
from distributed_config.services.access.users import User
from distributed_config.services.journal.audit import AuditEntry
from distributed_config.services.journal.changes import Change
from distributed_config.services.policy.visibility import Scope
from distributed_config.services.versions import Version

VERSION = Version("web", 3, True, "d", 10, "ada", "why", 1, 7, False, '{"n": 1}')
CHANGE = Change(
    7, 0, 1, 1, "version.created", "web", "default", 3, 3, "d", "ada", "why", None, None
)
USER = User(
    id=1,
    email="ada@example.org",
    active=True,
    must_change=False,
    has_password=True,
    created_at=1_700_000_000_000_001,
    rights=Grant("editor", Scope(("web", "team/"), ("default",))),
)


def test_versions_have_the_keys_of_their_schema_in_its_order() -> None:
    # What a view adds on request is not in every version, nor is what only a roll-back has.
    every = answers.VersionAnswer().fields
    described = [name for name in every if name not in {"changed", "rolled_back_to"}]

    assert list(render_version_with_document(VERSION)) == described
    assert [*render_version(VERSION), "document"] == described


def test_changes_and_audit_entries_have_the_keys_of_their_schemas_in_their_order() -> None:
    entry = AuditEntry(1, 1, 1, "changed", "ada", "", None, 7, {}, "p", "h", (CHANGE,))

    assert [*render_change(CHANGE), "document"] == list(answers.ChangeAnswer().fields)
    assert list(render_entry(entry)) == list(answers.AuditEntry().fields)


def test_a_version_names_the_definition_that_it_was_checked_against() -> None:
    @dataclass(frozen=True)
    class Checked(Version):
        checked: tuple[str, int] | None = ("base", 4)

    checked = Checked("web", 3, True, "d", 10, "ada", "", 1, 7, False, None)

    rendered = render_version_with_document(checked)
    assert (rendered["definition"], rendered["definition_revision"]) == ("base", 4)
    assert rendered["document"] is None


def test_rights_stand_beside_the_keys_of_whoever_has_them_and_times_are_text() -> None:
    assert account_answers.UserAnswer.render(USER) == {
        "id": 1,
        "email": "ada@example.org",
        "active": True,
        "must_change": False,
        "has_password": True,
        "role": "editor",
        "services": ["web", "team/"],
        "environments": ["default"],
        "created_at": wire.format_time(USER.created_at),
    }
    assert list(account_answers.UserAnswer.render(USER)) == list(
        account_answers.UserAnswer().fields
    )


@pytest.mark.parametrize(
    ("narrower", "wider", "breaks"),
    [
        (True, False, ["backward"]),
        (False, True, ["forward"]),
        (True, True, ["backward", "forward"]),
    ],
)
def test_a_reason_says_what_it_breaks(narrower: bool, wider: bool, breaks: list[str]) -> None:
    rendered = answers.ReasonAnswer.render(Reason("/n", "It changed.", narrower, wider))

    assert rendered == {"pointer": "/n", "message": "It changed.", "breaks": breaks}


def test_a_problem_has_a_parameter_only_where_it_is_about_one() -> None:
    problems = [Problem("/n", "No.", "type"), Problem("", "No.", "query", "limit")]

    assert answers.ProblemEntry.render_all(problems) == [
        {"pointer": "/n", "message": "No.", "rule": "type"},
        {"parameter": "limit", "pointer": "", "message": "No.", "rule": "query"},
    ]


def test_of_very_many_problems_the_first_hundred_are_shown() -> None:
    problems = [Problem(f"/{number}", "No.", "type") for number in range(101)]

    rendered = answers.CheckedAnswer.render({"valid": False, "problems": problems})["problems"]
    assert [problem["pointer"] for problem in rendered] == [f"/{n}" for n in range(100)]
