"""The client that openapi-python-client generates, called by operation id."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from http import HTTPStatus
from importlib import import_module
from pathlib import Path
from typing import Any, Self

from coderapi.openapi.document import openapi
from kernel.http.wire import WireFormat
from tests.support.api.schema_validation import Schema, resolved, validator_of
from tests.support.processes import PROJECT

DOCUMENTS = {
    WireFormat.DOCUMENTED: "docs/openapi.yml",
    WireFormat.CODERD: "docs/openapi-coderd.yml",
}


def generate(wire: WireFormat, directory: Path) -> str:
    """Generates the client into the directory. Returns the name of its package."""
    name = f"{wire.value}_client"
    subprocess.run(
        [
            *(sys.executable, "-m", "openapi_python_client", "generate", "--fail-on-warning"),
            *("--path", str(PROJECT / DOCUMENTS[wire]), "--meta", "none"),
            *("--output-path", str(directory / name)),
        ],
        # It formats the client with ruff, which is installed beside this Python.
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return name


class GeneratedClient:
    """Calls operations by their id, with bodies from the examples of the document."""

    def __init__(self, package: str, wire: WireFormat, *, url: str, token: str) -> None:
        self.operations = {
            operation["operationId"]: operation
            for item in openapi(wire)["paths"].values()
            for operation in item.values()
        }
        self.called: set[str] = set()
        self._package, self._wire = package, wire
        made = import_module(f"{package}.models")
        self._models = {name.lower(): getattr(made, name) for name in made.__all__}
        self._caller = import_module(f"{package}.client").AuthenticatedClient(
            base_url=url,
            token=token,
            prefix="",
            auth_header_name="Coder-Session-Token",
            headers={"Coderapi-Wire-Format": wire.value},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._caller.get_httpx_client().close()

    def call(self, name: str, /, *, body: Any = None, **arguments: str) -> Any:
        """Calls an operation that must succeed, and returns the parsed answer."""
        answer = self.answer(name, body=body, **arguments)
        promised = {int(code) for code in self.operations[name]["responses"] if code < "300"}
        assert answer.status_code in promised, f"{name}: {answer.status_code} {answer.content!r}"
        assert (answer.parsed is not None) == (answer.status_code != HTTPStatus.NO_CONTENT), name
        return answer.parsed

    def answer(self, name: str, /, *, body: Any = None, **arguments: str) -> Any:
        self.called.add(name)
        operation = self.operations[name]
        tag, module = operation["tags"][0].lower().replace(" ", "_"), name.replace("-", "_")
        endpoint = import_module(f"{self._package}.api.{tag}.{module}")
        more = {"body": self._body(name, body)} if "requestBody" in operation else {}
        return endpoint.sync_detailed(**arguments, client=self._caller, **more)

    def examples(self, name: str) -> list[Any]:
        """Returns the examples of the operation's body."""
        return self._examples(_body_schema(self.operations[name]))

    def _examples(self, schema: Schema) -> list[Any]:
        found = resolved(schema, wire=self._wire)
        if "examples" in found:
            return list(found["examples"])
        if "items" in found:
            return [self._examples(found["items"])]
        return [each for option in found["oneOf"] for each in self._examples(option)]

    def _body(self, name: str, value: Any) -> Any:
        given = self.examples(name)[0] if value is None else value
        return self._model(_body_schema(self.operations[name]), given)

    def _model(self, schema: Schema, value: Any) -> Any:
        """Returns the value as an instance of a generated class, as the client expects."""
        found = resolved(schema, wire=self._wire)
        for option in [*found.get("anyOf", []), *found.get("oneOf", [])]:
            if validator_of(option, wire=self._wire).is_valid(value):
                return self._model(option, value)
        if isinstance(value, list):
            return [self._model(found["items"], item) for item in value]
        if isinstance(value, Mapping):
            name = re.sub(r"\W|_", "", schema["$ref"].rpartition("/")[2])
            return self._models[name.lower()].from_dict(value)
        return value


def _body_schema(operation: Schema) -> Schema:
    found: Schema = operation["requestBody"]["content"]["application/json"]["schema"]
    return found
