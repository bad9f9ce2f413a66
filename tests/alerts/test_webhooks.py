"""The bodies of webhooks are as docs/alerts.md describes them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from alerts.sending import send_alerts
from tests.support.api.client import APIClient
from tests.support.channels import ALERTS_DOCUMENT, make_channel
from tests.support.csp.groups import GROUPS, NOW, make_group
from tests.support.servers.webhook_receiver import Receiver

EXAMPLES = {
    example["type"]: example
    for text in re.findall(r"^```json\n(.*?)^```", ALERTS_DOCUMENT, re.MULTILINE | re.DOTALL)
    for example in [json.loads(text)]
}


def shape(value: Any) -> Any:
    """Replaces each scalar by its type, and each list by the shape of its first element."""
    if isinstance(value, dict):
        return {name: shape(each) for name, each in value.items()}
    return [shape(each) for each in value[:1]] if isinstance(value, list) else type(value)


@pytest.mark.django_db
def test_one_alert_has_the_members_of_the_example(receiver: Receiver, owner: APIClient) -> None:
    make_channel(receiver.url, min_client_days=10)
    make_group(client_days=10)
    assert send_alerts(NOW) == 1
    [body], example = receiver.bodies, EXAMPLES["csp_group.new"]
    [row] = owner.get(GROUPS).json()["groups"]
    assert body["data"]["group"] == row
    assert shape(example["data"].pop("group")).items() <= shape(body["data"].pop("group")).items()
    assert shape(body) == shape(example)


@pytest.mark.django_db
def test_several_alerts_have_the_members_of_the_example(receiver: Receiver) -> None:
    make_channel(receiver.url, min_client_days=1)
    for number in range(4):
        make_group(blocked_source=f"{number}.example.net", client_days=10)
    assert send_alerts(NOW) == 1
    assert shape(receiver.bodies) == [shape(EXAMPLES["digest"])]
