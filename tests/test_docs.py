"""The generated pages of the manual match the code, and its promises have tests."""

import importlib.util
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"


def generated() -> dict[Path, str]:
    """Return the pages that docs/generate.py would write, by path."""
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    pages: dict[Path, str] = module.pages()
    return pages


@pytest.mark.parametrize("page", ["settings.md", "errors.md", "permissions.md"])
def test_a_generated_page_is_up_to_date(page: str) -> None:
    assert (DOCS / page).read_text() == generated()[DOCS / page], "run `make docs`"


# The lines of the table "What happens when …" in docs/sidecar.md, and the tests behind each.
HELD_BY = {
    "the server, when a program starts": [
        "test_without_a_server_it_starts_from_the_snapshot",
        "test_without_a_server_and_a_snapshot_it_starts_from_the_defaults",
    ],
    "the server, and there is neither": [
        "test_the_start_never_takes_longer_than_its_deadline",
        "test_exec_without_a_server_and_a_snapshot_ends_with_3_and_runs_nothing",
    ],
    "the server, while a program runs": [
        "test_reads_never_fail_while_the_server_is_away_and_then_it_catches_up",
        "test_age_and_staleness_follow_what_the_server_confirmed",
    ],
    "the server, when a sidecar starts": [
        "test_a_sidecar_that_starts_without_its_server_leaves_the_file_that_is_there",
        "test_a_sidecar_waits_for_its_server_and_outlives_its_loss",
    ],
    "the server, in an init container": ["test_once_gives_up_at_its_deadline"],
    "the server, and it comes back": [
        "test_forty_configurations_recover_from_a_restart_without_a_failed_read",
        "test_attempts_of_many_clients_spread_over_a_window_that_grows_to_its_limit",
    ],
    "the snapshot: damaged, a link, another's": [
        "test_no_flipped_bit_anywhere_makes_another_snapshot",
        "test_what_lies_in_the_place_of_a_snapshot_is_not_followed_and_does_no_harm",
        "test_a_snapshot_of_another_service_or_server_is_not_taken",
    ],
    "the disk is full": [
        "test_a_disk_that_is_full_for_a_while_leaves_the_old_file",
        "test_on_a_full_disk_the_last_snapshot_stays_whole_and_updates_go_on",
    ],
    "what was published does not fit the program": [
        "test_a_document_that_the_application_rejects_keeps_the_last_good_one"
    ],
    "what was published is rejected by `check`": [
        "test_a_file_that_its_check_refuses_is_not_put_in_place"
    ],
    "the application cannot be notified": [
        "test_who_could_not_be_told_is_told_again_alone_and_the_file_is_good",
        "test_that_nobody_runs_yet_when_a_file_is_first_written_is_normal",
    ],
}


def test_every_line_of_what_happens_when_something_is_down_has_a_test() -> None:
    table = (DOCS / "sidecar.md").read_text().partition("| … is down | then |\n|---|---|\n")[2]
    lines = [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("|")]
    tests = "".join(path.read_text() for path in Path(__file__).parent.rglob("test_*.py"))

    assert lines == list(HELD_BY)
    named = {name for names in HELD_BY.values() for name in names}
    assert named <= set(re.findall(r"^def (test_\w+)", tests, re.MULTILINE))
