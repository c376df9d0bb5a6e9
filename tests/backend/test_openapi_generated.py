"""Requests that nobody wrote, made from the API's own document: none is a fault of ours, and every answer is documented."""

from __future__ import annotations

import os

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.failures import FailureGroup

EXAMPLES = int(os.environ.get("SPIKEFRONT_TEST_REQUESTS", "3"))  # a route, valid and invalid ones each
#: The first holds the connection until a run ends, the second reaches for other machines, the last takes an archive alone.
NOT_ASKED = ("/api/v1/runs/{run_id}/events", "/api/v1/datasets/{name}/fetch", "/api/v1/imports")
CONFORMING = ("status_code", "content_type", "response_headers", "response_schema")
load_all_checks()


@pytest.fixture
def known(finisher) -> dict[str, str]:
    """Ids that are somebody's, for half of the requests."""
    run_id, client = finisher.succeeded("snn"), finisher.client
    share = client.post("/api/v1/shares", json={"run_id": run_id}).json()
    client.delete(f"/api/v1/runs/{finisher.succeeded('cnn')}")
    return {"run_id": run_id, "share_id": share["id"], "token": share["url"].rpartition("/")[2]}


def test_no_request_finds_a_fault_of_ours(client, known, document):
    schema = schemathesis.openapi.from_dict(document)
    checks = CHECKS.get_by_names([f"{name}_conformance" for name in CONFORMING])
    faults: list[str] = []
    asked = 0
    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.path in NOT_ASKED:
            continue
        for mode in GenerationMode:

            @seed(1)
            @settings(
                max_examples=EXAMPLES,
                deadline=None,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(generation_mode=mode), ours=st.booleans())
            def ask(case, ours):
                nonlocal asked
                asked += 1
                if ours:
                    case.path_parameters = {
                        name: known.get(name, value) for name, value in (case.path_parameters or {}).items()
                    }
                request = case.as_transport_kwargs(base_url=str(client.base_url))
                request.pop("cookies", None)
                response = client.request(**request)
                assert response.status_code != 500, response.text
                case.validate_response(response, checks=checks)

            try:
                ask()
            except Unsatisfiable:  # nothing in it can be wrong
                assert mode == GenerationMode.NEGATIVE and not list(operation.iter_parameters()) and not operation.body
            except (FailureGroup, AssertionError) as error:
                faults.append(f"{operation.label}, {mode}: {error}")
    assert not faults, "\n\n".join(faults)
    assert asked > 100 * EXAMPLES
