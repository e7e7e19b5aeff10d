"""Answers from memory never mix actors."""

from uuid import uuid4

import httpx2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from distributed_config.http import auth
from tests.support.access import As, alike
from tests.support.callers import Caller
from tests.support.server import Server

# --- the front never mixes actors


def test_what_is_answered_from_memory_is_what_flask_would_answer_to_the_same_actor(
    guarded: Server, administrator: Caller, acting: As, elsewhere: str
) -> None:
    mark = uuid4().hex[:6]
    services = [f"team/{mark}", f"hidden/{mark}"]
    for service in services:
        administrator.put(service, {"of": "default"})
        headers = {auth.ORGANISATION: elsewhere}
        administrator.ask("PUT", "/config", {"of": "other"}, service=service, headers=headers)
    callers = [
        acting("reader"),
        acting("reader", services=["team/"]),
        acting("reader", elsewhere),
        acting("reader", elsewhere, services=["hidden/"]),
        Caller(guarded.url),
        administrator,
    ]
    tokens = [caller.token or "none" for caller in callers]

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(tokens),
                st.sampled_from(services),
                st.sampled_from(["", elsewhere, "default", "nowhere"]),
                st.sampled_from(["Bearer", "X-API-Key"]),
            ),
            min_size=1,
            max_size=8,
        )
    )
    def same(questions: list[tuple[str, str, str, str]]) -> None:
        with httpx2.Client(base_url=guarded.url, trust_env=False) as http:
            for token, service, organisation, way in questions:
                headers = {"X-API-Key": token}
                if way == "Bearer":
                    headers = {"Authorization": f"Bearer {token}"}
                if organisation:
                    headers[auth.ORGANISATION] = organisation
                query = {"service": service, "version": "current"}
                quick = http.get("/config", params=query, headers=headers)
                # What asks for a revision is never answered from memory.
                slow = http.get("/config", params={**query, "min_revision": 0}, headers=headers)
                assert alike(quick, slow), (quick.text, slow.text)

    same()
