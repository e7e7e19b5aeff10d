"""The promises of the product, each with the tests that hold it.

Most of these tests run real processes on real files. A test is named as ROOM/TEST, where the room
is the folder under ``tests``; ``tests/test_structure.py`` checks that all of them are there.

P1 A write with a 2xx response is on disk: it survives kill -9 and power loss.
    promises/test_nothing_acknowledged_is_lost_when_the_server_is_killed_under_writers
    promises/test_a_write_is_answered_only_after_its_flush_to_the_disk_has_come_back
    promises/test_after_one_failed_flush_no_worker_acknowledges_anything_until_a_restart
P2 A write happens as a whole or not at all.
    promises/test_a_watcher_never_sees_half_a_changeset
    promises/test_changesets_that_expect_the_same_version_leave_no_half_behind
    promises/test_every_problem_of_a_document_is_reported_and_nothing_is_written
P3 Version numbers are contiguous from 0 and never reused.
    promises/test_forty_versions_sent_at_once_get_forty_numbers_without_a_gap
    promises/test_whatever_happens_to_services_the_server_and_the_model_agree
P4 Each service is linearisable.
    promises/test_no_read_returns_what_was_outdated_before_it_began
    promises/test_no_response_is_replayed_after_a_change_of_its_service
    promises/test_watermarks_are_raised_before_a_commit_is_visible
    layers/test_no_resolved_document_is_older_than_an_acknowledged_write_to_any_of_its_layers
P5 Reads are monotonic for a client that sends ``min_revision``.
    promises/test_a_read_waits_for_its_min_revision
P6 Compare-and-set loses no update; a retried write with an idempotency key happens once.
    promises/test_of_twelve_writers_with_one_tag_exactly_one_wins
    promises/test_a_write_sent_sixteen_times_with_one_key_happens_once
P7 A subscriber gets every change once and in order, over reconnects and restarts; a gap that cannot
be filled is announced with ``reset``.
    live/test_no_watcher_misses_a_revision_while_the_server_is_killed_again_and_again
    live/test_after_a_restore_every_watcher_is_reset_and_goes_on
    layers/test_every_way_to_watch_tells_each_change_of_a_layer_once_and_of_no_other
P8 The client starts and runs from its last good snapshot when no server answers.
    client/test_without_a_server_it_starts_from_the_snapshot
P9 Reads go on when the disk is full or the database is locked; writes then fail fast.
    promises/test_on_a_full_disk_reads_go_on_and_writes_again_once_there_is_space
    promises/test_reads_go_on_while_more_writes_than_threads_wait_for_a_lock
    promises/test_a_lock_that_lasts_longer_is_answered_with_503_and_writes_work_after_it
P10 A damaged database is refused with one plain sentence, and never served.
    promises/test_a_damaged_database_is_refused_with_one_plain_sentence
    promises/test_a_damaged_document_is_never_served_nor_built_upon
P11 A database of any released schema opens.
    promises/test_a_database_of_every_released_schema_opens
P12 Everything has a limit, and the limit an honest response.
    promises/test_the_work_for_a_small_request_is_bounded
    promises/test_a_body_without_an_end_is_refused_when_it_is_too_large
    http/test_reads_over_the_budget_are_refused_until_the_moment_that_is_told
P13 Secrets are encrypted at rest and masked everywhere.
    services/test_a_secret_is_in_no_answer_to_who_may_not_read_it_and_nowhere_at_rest
P14 Tokens are stored hashed, shown once, and revocable at once.
    access/test_the_secret_of_a_token_is_shown_once_and_kept_nowhere
    access/test_a_revoked_token_is_refused_by_every_worker_and_its_streams_close
P15 Access is closed by default: without authentication the server binds to loopback only.
    tests/test_off_the_loopback_everybody_shows_a_token
    access/test_every_route_is_open_to_who_holds_its_permission_and_to_nobody_else
P16 Outgoing requests cannot reach inside. Addresses that users choose are not built yet; the only
outgoing requests go to the identity provider of the settings.
    identity/test_no_answer_of_the_provider_is_read_without_end
P17 Due work happens at least once, and a scheduled release exactly once: not built yet.
P18 SIGTERM loses nothing, and the server ends within 10 s.
    promises/test_sigterm_under_writers_loses_nothing_lets_a_held_read_go_and_ends_in_time
    promises/test_sigterm_ends_in_time_while_late_requests_arrive_on_open_connections
    asgi/test_clients_that_are_slow_cannot_put_off_the_end
"""
