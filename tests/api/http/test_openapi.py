"""The API behaves as its OpenAPI document says: generated valid and invalid requests get documented answers."""

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from support.http import Api

if TYPE_CHECKING:  # slow imports, which every process of a run would make: each test imports what it uses
    from schemathesis import Case
    from schemathesis.schemas import APIOperation, BaseSchema

SEED = int(os.environ.get("GENCONVNET_TEST_SEED", "5"))
GENERATED = settings(
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def document(api: Api) -> "BaseSchema":
    import schemathesis

    print(f"GENCONVNET_TEST_SEED={SEED}")  # noqa: T201
    document = schemathesis.openapi.from_url(f"{api.client.base_url}/openapi.json")
    # /readyz answers 503, because no worker runs; the answer of /v1/events does not end.
    return document.exclude(path="/readyz").exclude(path="/v1/events")


@pytest.mark.parametrize("mode", ["positive", "negative"])
@pytest.mark.parametrize("examples", [2, pytest.param(20, marks=pytest.mark.exhaustive)])
def test_every_answer_conforms_to_the_document(document: "BaseSchema", mode: str, examples: int) -> None:
    from schemathesis import GenerationMode
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

    checks = [not_a_server_error, content_type_conformance, response_schema_conformance]
    calls = 0
    for found in document.get_all_operations():
        operation = found.ok()
        if mode == "negative" and not _can_be_invalid(operation):
            continue

        @seed(SEED)
        @settings(GENERATED, max_examples=examples)
        @given(case=operation.as_strategy(generation_mode=GenerationMode(mode)))
        def call(case: "Case") -> None:
            nonlocal calls
            calls += 1
            case.call_and_validate(checks=checks, timeout=20)

        call()
    assert calls > 25


def _can_be_invalid(operation: "APIOperation") -> bool:
    """Return False if there is nothing to send but text in the path, which is always valid."""
    numbers = [one for one in operation.path_parameters if one.definition["schema"]["type"] != "string"]
    return any(list(part) for part in (numbers, operation.query, operation.headers, operation.body))


def test_the_document_is_valid_and_its_operations_have_names_of_their_own(api: Api) -> None:
    import openapi_spec_validator

    document = api.client.get("/openapi.json").json()
    openapi_spec_validator.validate(document)
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names)
    assert {"datasets_create", "jobs_create", "jobs_events", "models_download"} <= set(names)


def test_every_operation_documents_its_problems(api: Api) -> None:
    paths = api.client.get("/openapi.json").json()["paths"]
    operations = [operation for path in paths.values() for operation in path.values()]
    assert len(operations) > 20
    for operation in operations:
        assert "application/problem+json" in operation["responses"]["4XX"]["content"]


def test_the_openapi_document_and_its_page_are_served(api: Api) -> None:
    paths = api.client.get("/openapi.json").json()["paths"]
    assert {"/v1/datasets", "/v1/jobs", "/v1/jobs/{job_id}/events", "/v1/models", "/v1/presets"} <= set(paths)
    assert api.client.get("/docs").status_code == 200


def test_the_openapi_document_says_how_a_key_is_sent(api: Api) -> None:
    document = api.client.get("/openapi.json").json()
    assert document["components"]["securitySchemes"] == {"key": {"type": "http", "scheme": "bearer"}}
    assert document["security"] == [{"key": []}, {}]
