"""The API against its own OpenAPI document, by schemathesis: what the document allows and what it forbids."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.core.transport import Response
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.testclient import TestClient

from ridgeline.web.app import app
from ridgeline.web.openapi import document
from ridgeline.web.question import QUESTIONS

SCHEMA = schemathesis.openapi.from_dict(document())
SLOW = [f"/api/{name}" for name, known in QUESTIONS.items() if known.slow]
CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]
FEW = {"deadline": None, "suppress_health_check": list(HealthCheck), "phases": [Phase.generate]}
"""Drawn cases only: those of schemathesis' coverage of every value take ten minutes."""
SECONDS = 2.0
"""Of a slow question: drawn ones may be large, and are then refused by 503, as the document says."""


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with TestClient(served := app(), raise_server_exceptions=False) as found:
        served.app.state.workers.seconds = SECONDS
        yield found


def asked(case: schemathesis.Case, client: TestClient) -> None:
    """What comes back is one of the answers that the document names, in its form; a failure of ours is none of them."""
    how = case.as_transport_kwargs(base_url="http://testserver")
    how = {"content" if name == "data" else name: value for name, value in how.items() if name != "cookies"}
    found = client.request(**how)
    case.validate_response(Response.from_any(found), checks=CHECKS)
    assert found.status_code < 500 or (found.status_code == 503 and case.path in SLOW)


@SCHEMA.exclude(path=SLOW).parametrize()
@settings(max_examples=15, **FEW)
def test_what_is_answered_at_once(case: schemathesis.Case, client: TestClient) -> None:
    """Each question, in the query and as a body."""
    asked(case, client)


@SCHEMA.include(path=SLOW).exclude(path="/api/lecture").parametrize()
@settings(max_examples=4, **FEW)
def test_what_a_worker_answers(case: schemathesis.Case, client: TestClient) -> None:
    """The same; the lecture has no option but its part, and takes seconds."""
    asked(case, client)
