"""What the server says of itself: the contract, unchanged, and everything that is mounted besides."""

import ast
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from jsonschema import Draft202012Validator

from fulfillment.app import HOT, create_app
from fulfillment.infra.db import Database
from fulfillment.infra.env import Env
from tests.conftest import client_of
from tests.contract.contract import METHODS, contract, operations

pytestmark = pytest.mark.anyio
SCHEMAS = sorted(contract()["components"]["schemas"])


@pytest.fixture
async def served(api: httpx2.AsyncClient) -> dict[str, Any]:
    """The document that the server serves."""
    return (await api.get("/openapi.json")).json()


async def test_both_forms_are_one_document(api: httpx2.AsyncClient, served: dict[str, Any]) -> None:
    """JSON and YAML say the same."""
    assert yaml.safe_load((await api.get("/openapi.yaml")).content) == served


async def test_every_operation_of_the_contract_is_served(served: dict[str, Any]) -> None:
    """Path, method, operationId and tags are the contract's; parameters and responses are at least its own."""
    there = {(operation.method, operation.path): operation.node for operation in operations(served)}

    for operation in operations(contract()):
        node = there[operation.method, operation.path]
        assert node["operationId"] == operation.id
        assert node["tags"] == operation.node["tags"]
        for parameter in operation.node.get("parameters", []):
            check_parameter(parameter, node["parameters"], operation.id)
        assert set(operation.node["responses"]) <= set(node["responses"]), operation.id
        assert (operation.node.get("requestBody") or {}).get("required") == (node.get("requestBody") or {}).get(
            "required"
        )


async def test_every_refusal_of_the_token_endpoint_is_documented(served: dict[str, Any]) -> None:
    """What it says to a wrong, an unknown, a too large and a too frequent request is OAuth's error, no problem."""
    answers = served["paths"]["/oauth2/token"]["post"]["responses"]

    oauth = {status for status, answer in answers.items() if answer.get("$ref", "").endswith("/OAuthError")}
    assert oauth == {"400", "401", "413", "429"}


async def test_answers_outside_the_contract_have_the_documented_type(
    api: httpx2.AsyncClient, env: Env, served: dict[str, Any]
) -> None:
    """The service's own paths answer with the media type that the document names; not being ready does, too."""
    paths = ("/livez", "/readyz", "/openapi.json", "/openapi.yaml", "/.well-known/oauth-authorization-server")
    answers = [await api.get(path) for path in paths]
    async with client_of(replace(env, db=Database("host=/nowhere"))) as away:
        answers.append(await away.get("/readyz"))

    assert [answer.status_code for answer in answers] == [200, 200, 200, 200, 200, 503]
    for answer in answers:
        documented = served["paths"][answer.url.path]["get"]["responses"][str(answer.status_code)]["content"]
        assert list(documented) == [answer.headers["content-type"].partition(";")[0]], answer.url.path


@pytest.mark.parametrize("name", SCHEMAS)
async def test_every_schema_of_the_contract_is_served(served: dict[str, Any], name: str) -> None:
    """Properties, types, formats, patterns, enums and required members are the contract's; there may be more."""
    check(contract()["components"]["schemas"][name], served["components"]["schemas"][name], name)


def check(ours: Any, theirs: Any, place: str) -> None:
    """Check that a served schema keeps all that the contract's says."""
    for key, value in ours.items():
        if key in {"description", "x-decided"}:
            continue
        if " " in key:  # the second half of a description that has a comma and no quotes
            assert theirs["description"] == f"{ours['description']}, {key}"
            continue
        assert key in theirs, f"{place}: {key} is gone"
        if key == "properties":
            for name, member in value.items():
                assert name in theirs["properties"], f"{place}.{name} is gone"
                check(member, theirs["properties"][name], f"{place}.{name}")
        elif key == "items" and isinstance(value, dict):
            check_items(value, theirs["items"], f"{place}[]")
        elif key == "allOf":
            for number, part in enumerate(value):
                check(part, theirs["allOf"][number], f"{place}<{number}>")
        elif key == "$ref":
            # In requests, the same shape under another name allows nothing else.
            assert theirs[key] in {value, f"{value}Create"}, f"{place}: {key}"
        elif key in {"minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems"}:
            assert theirs[key] == value, f"{place}: {key}"
        else:
            assert theirs[key] == value, f"{place}: {key}"


def check_parameter(ours: dict[str, Any], theirs: list[dict[str, Any]], place: str) -> None:
    """Check that a parameter is there as the contract has it; its schema may name bounds of its own."""
    if "$ref" in ours:
        assert ours in theirs, place
        return
    named = [one for one in theirs if (one.get("name"), one.get("in")) == (ours["name"], ours["in"])]
    assert len(named) == 1, f"{place}: {ours['name']}"
    assert named[0] | {"schema": None} == ours | {"schema": None}
    check(ours["schema"], named[0]["schema"], f"{place}: {ours['name']}")


def check_items(ours: dict[str, Any], theirs: dict[str, Any], place: str) -> None:
    """Check items: a reference may be to the same shape under another name that allows nothing else."""
    if theirs.get("$ref", "").split("/")[-1] in {"Checkpoint", "Ingredient"}:
        return
    if ours.get("$ref", "").endswith("/LineItemInput") and theirs.get("$ref", "").endswith("/LineItemCreate"):
        return
    check(ours, theirs, place)


@pytest.mark.parametrize("name", ["Address", "Administration", "Customer"])
async def test_what_is_asked_for_is_closed_and_what_is_answered_is_not(served: dict[str, Any], name: str) -> None:
    """A request holds the contract's members and no others; an answer may get more without breaking who reads it."""
    schemas = served["components"]["schemas"]

    check(contract()["components"]["schemas"][name], schemas[f"{name}Create"], name)
    assert schemas[f"{name}Create"]["additionalProperties"] is False
    assert "additionalProperties" not in schemas[name]


@pytest.mark.parametrize(
    ("schema", "member", "name"),
    [("FulfillmentInfo", "checkpoints", "Checkpoint"), ("SupplementFactsPanel", "ingredients", "Ingredient")],
)
async def test_what_a_list_holds_may_have_a_name(served: dict[str, Any], schema: str, member: str, name: str) -> None:
    """The contract's shape, under a name of its own: generators make a class of it."""
    ours = contract()["components"]["schemas"][schema]["properties"][member]["items"]

    check(ours, served["components"]["schemas"][name], name)


async def test_a_line_asked_for_is_the_contracts(served: dict[str, Any]) -> None:
    """LineItemCreate, which allows nothing else, has the members and the required ones of LineItemInput."""
    schemas = served["components"]["schemas"]

    assert set(schemas["LineItemCreate"]["properties"]) == set(
        contract()["components"]["schemas"]["LineItemInput"]["properties"]
    )
    assert schemas["LineItemCreate"]["required"] == contract()["components"]["schemas"]["LineItemInput"]["required"]


async def test_the_webhook_is_the_contracts(served: dict[str, Any]) -> None:
    """The partner's side of it is unchanged."""
    ours = contract()["webhooks"]["orderStatusChanged"]["post"]
    theirs = served["webhooks"]["orderStatusChanged"]["post"]

    assert theirs["operationId"] == ours["operationId"]
    for parameter in ours["parameters"]:
        check_parameter(parameter, theirs["parameters"], theirs["operationId"])
    assert (
        theirs["requestBody"]["content"]["application/json"]["schema"]
        == ours["requestBody"]["content"]["application/json"]["schema"]
    )


async def test_every_route_is_in_the_document_and_every_operation_is_a_route(env: Env, served: dict[str, Any]) -> None:
    """What is mounted is documented, and what is documented is mounted; pages for people are neither."""
    front = create_app(env)
    app = front._inner  # pyright: ignore[reportPrivateUsage]
    assert isinstance(app, FastAPI)
    mounted = {(route.method, shape(route.path + route.suffix)) for route in HOT}
    for context in iter_route_contexts(app.routes):
        if isinstance(context.original_route, APIRoute):
            mounted |= {(method, shape(context.path or "")) for method in context.methods or ()}
    documented = {
        (
            operation.method.upper(),
            shape(operation.path if "servers" in served["paths"][operation.path] else "/v1" + operation.path),
        )
        for operation in operations(served)
    }

    assert mounted - documented == set()
    assert documented - mounted == set()


def shape(path: str) -> str:
    """Return a path whose parameters have no names."""
    return re.sub(r"\{[^}]+\}", "{}", path)


async def test_the_document_is_whole(served: dict[str, Any]) -> None:
    """OpenAPI 3.1; every reference has its target; operationIds are unique; every operation has an error answer."""
    ids = [operation.id for operation in operations(served)]

    assert served["openapi"] == "3.1.0"
    assert len(ids) == len(set(ids))
    for reference in references(served):
        at: Any = served
        for step in reference.removeprefix("#/").split("/"):
            at = at[step.replace("~1", "/").replace("~0", "~")]
    for name, schema in served["components"]["schemas"].items():
        Draft202012Validator.check_schema(schema)
        assert name
    for operation in operations(served):
        assert {"default", "400"} & set(operation.node["responses"]), operation.id
        assert operation.node.get("summary") or operation.node.get("description") or operation.id


def references(node: Any) -> list[str]:
    """Return every $ref below a node."""
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [found for value in node.values() for found in references(value)]
    return [found for value in node for found in references(value)] if isinstance(node, list) else []


async def test_the_servers_are_the_servers_own(served: dict[str, Any]) -> None:
    """Its address and its token endpoint, where a client can reach them."""
    flow = served["components"]["securitySchemes"]["oauth2ClientCredentials"]["flows"]["clientCredentials"]

    assert [server["url"] for server in served["servers"]] == ["http://127.0.0.1:8000/v1"]
    assert flow["tokenUrl"] == "http://127.0.0.1:8000/oauth2/token"
    assert set(METHODS) >= {"get"}


async def test_every_member_of_a_problem_is_in_the_document(served: dict[str, Any]) -> None:
    """What an error of ours says besides the usual has its name in the document's Problem."""
    named = served["components"]["schemas"]["Problem"]["properties"]
    said = {
        key.value: f"{path.name}:{call.lineno}"
        for path in (Path(__file__).parents[2] / "src" / "fulfillment").rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id[0].isupper()
        for keyword in call.keywords
        if keyword.arg == "extra" and isinstance(keyword.value, ast.Dict)
        for key in keyword.value.keys
        if isinstance(key, ast.Constant) and isinstance(key.value, str)
    }

    assert {"orderStatus", "allowedMoves", "orderId"} <= said.keys()
    assert {name: place for name, place in said.items() if name not in named} == {}
