"""The requests of Coder's API reference are answered as the reference shows, in both wires."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest
from django.utils import timezone

from csp.models import Report
from kernel import memory
from kernel.http.wire import WireFormat
from stats.services import collect_snapshot
from tests.support.api.client import APIClient
from tests.support.api.paths import full
from tests.support.api.schema_validation import document

TEXT, NUMBER, TRUTH, TIME = "text", 1, True, object()
URLS = ("dashboard_url", "external_url", "upgrade_message")
VERSIONS = ("agent_api_version", "provisioner_api_version", "version")
WORKSPACES = ("building", "failed", "pending", "running", "stopped", "rx_bytes", "tx_bytes")
SESSIONS = ("jetbrains", "reconnecting_pty", "ssh", "vscode")
TIMES = ("aggregated_from", "collected_at", "next_update_at")


@dataclass(frozen=True)
class Sample:
    """A request of the reference, and its answer with a value of each type.

    `optional` are members that only some answers have. A member `*` stands for any names.
    """

    heading: str
    path: str
    answer: Any
    component: str = ""
    has_token: bool = True
    method: str = "get"
    body: Any = None
    optional: tuple[str, ...] = ()


SAMPLES = [
    Sample(
        *("API root handler", "/"),
        {"message": TEXT, "detail": TEXT, "validations": [{"detail": TEXT, "field": TEXT}]},
        *("codersdk.Response", False),
        optional=("detail", "validations"),
    ),
    Sample(
        *("Build info", "/buildinfo"),
        {
            **dict.fromkeys((*URLS, *VERSIONS, "deployment_id", "webpush_public_key"), TEXT),
            **dict.fromkeys(("telemetry", "workspace_proxy"), TRUTH),
        },
        *("codersdk.BuildInfoResponse", False),
    ),
    Sample("Report CSP violations", "/csp/reports", TEXT, method="post"),
    Sample("Report CSP violations", "/csp/reports", TEXT, method="post", body={"csp-report": {}}),
    # `tests.deployment` compares all members below these.
    Sample(
        *("Get deployment config", "/deployment/config"),
        {"config": {"*": Any}, "options": [{"*": Any}]},
        "codersdk.DeploymentConfig",
    ),
    Sample(
        *("SSH Config", "/deployment/ssh"),
        {"hostname_prefix": TEXT, "hostname_suffix": TEXT, "ssh_config_options": {"*": TEXT}},
        "codersdk.SSHConfigResponse",
    ),
    Sample(
        *("Get deployment stats", "/deployment/stats"),
        {
            **dict.fromkeys(TIMES, TIME),
            "session_count": dict.fromkeys(SESSIONS, NUMBER),
            "workspaces": {
                **dict.fromkeys(WORKSPACES, NUMBER),
                "connection_latency_ms": {"p50": NUMBER, "p95": NUMBER},
            },
        },
        "codersdk.DeploymentStats",
    ),
    Sample("Get enabled experiments", "/experiments", [TEXT], "codersdk.Experiment"),
    Sample("Get safe experiments", "/experiments/available", [TEXT], "codersdk.Experiment"),
    Sample(
        *("Update check", "/updatecheck"),
        {"current": TRUTH, "url": TEXT, "version": TEXT},
        *("codersdk.UpdateCheckResponse", False),
    ),
    Sample(
        *("Get token config", "/users/{user}/keys/tokens/tokenconfig"),
        *({"max_token_lifetime": NUMBER}, "codersdk.TokenConfig"),
    ),
]
of_each_sample = pytest.mark.parametrize(
    "sample", SAMPLES, ids=lambda sample: f"{sample.path} {sample.body}"
)


@of_each_sample
def test_heading_is_summary_and_operation_id(sample: Sample) -> None:
    operation = document(WireFormat.DOCUMENTED)["paths"][full(sample.path)][sample.method]
    assert operation["summary"] == sample.heading
    assert operation["operationId"] == sample.heading.lower().replace(" ", "-")
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    assert f"#/components/schemas/{sample.component}" in str(schema) or not sample.component


def assert_like(answer: Any, example: Any, optional: tuple[str, ...]) -> None:
    """Compares the members and types of an answer with those of an example."""
    if example is Any:
        return
    if isinstance(example, list):
        assert isinstance(answer, list)
        for item in answer:
            assert_like(item, example[0], optional)
    elif isinstance(example, dict):
        named = dict.fromkeys(answer, example["*"]) if "*" in example else example
        assert named.keys() - answer.keys() <= set(optional)
        for name, value in answer.items():
            assert_like(value, named[name], optional)
    elif example is TIME:
        assert datetime.fromisoformat(answer).utcoffset() is not None
    else:
        assert type(answer) is type(example) or (type(answer), example) == (float, NUMBER)


@pytest.mark.django_db
@pytest.mark.parametrize("wire", WireFormat)
@of_each_sample
def test_answer_is_like_the_example(
    sample: Sample, wire: WireFormat, owner: APIClient, settings: Any
) -> None:
    """The client validates the answers of both wires. The example is in the documented wire."""
    settings.WIRE_FORMAT, settings.SSH_CONFIG_OPTIONS = wire, ["ForwardAgent=yes"]
    settings.EXPERIMENTS = ["example"]
    memory.clear_all()
    collect_snapshot(timezone.now())
    accepted = "Accept" if sample.method == "get" else "Content-Type"
    headers = {accepted: "application/json"}
    if sample.has_token:
        headers["Coder-Session-Token"] = owner.token
    body = b"" if sample.body is None else json.dumps(sample.body).encode()
    path = full(sample.path).format(user=owner.user.pk)
    answer = APIClient().generic(
        sample.method.upper(), path, body, content_type="application/json", headers=headers
    )
    assert answer.status_code == 200
    if wire is WireFormat.DOCUMENTED:
        assert_like(answer.json(), sample.answer, sample.optional)
    assert not Report.objects.exists()
