"""Violations of Trusted Types: each sink and each policy is a group with its own advice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csp.advice.composition import weaknesses
from csp.advice.policy import parse
from csp.advice.refusals import Risk
from csp.advice.suggestion import Blocked, advise, extended
from csp.directives import cause
from csp.management.commands.find_csp_secrets import findings
from csp.models import Group, NoiseRule, Report
from csp.scrubbing.free_text import scrubbed_policy
from csp.triage.policies import whole as site_policy
from csp.trusted_types import split_source
from tests.support.api.client import APIClient
from tests.support.commands import run
from tests.support.csp.groups import GROUPS
from tests.support.csp.reports import in_admin, legacy, send

SINK, POLICY = "trusted-types-sink", "trusted-types-policy"
SITE_POLICY = "require-trusted-types-for 'script'; trusted-types known angular#unsafe-bypass"


def violation(keyword: str, sample: str, **members: Any) -> dict[str, Any]:
    directive = "trusted-types" if keyword == POLICY else "require-trusted-types-for"
    names = {"violated_directive": directive, "effective_directive": directive}
    names |= {"blocked_uri": keyword, "script_sample": sample, "original_policy": SITE_POLICY}
    return legacy(**{**names, "source_file": "https://coder.example.com/app.js", **members})


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("keyword", "sample", "blocked", "words"),
    [
        (SINK, "Element innerHTML|<i>x</i>", "Element innerHTML", "in Element innerHTML"),
        (SINK, "HTMLScriptElement src|https://a.test/?q=1", "HTMLScriptElement src", "Element src"),
        (SINK, "Window setTimeout|1", "Window setTimeout", "in Window setTimeout"),
        (SINK, "Function|(\n) {\n1\n}", "Function", "in Function"),
        (SINK, "eval|1", "eval", "in eval"),
        (SINK, "eval|a|b", "eval", "in eval"),
        (SINK, "", "", "in an unknown sink"),
        (SINK, "<b>forged</b>|x", "", "in an unknown sink"),
        (SINK, "Visit my evil site|x", "", "in an unknown sink"),
        (POLICY, "dompurify", "dompurify", "policy dompurify"),
        (POLICY, "angular#bundler", "angular#bundler", "policy angular#bundler"),
        (POLICY, "lit-html", "lit-html", "policy lit-html"),
        (POLICY, "", "", "Types policy"),
        (POLICY, "a; script-src *", "", "Types policy"),
        (POLICY, "alice@example.com", "", "Types policy"),
        (POLICY, "a#b#c", "", "Types policy"),
    ],
)
def test_group_has_the_sink_or_the_name_of_the_policy(
    collecting: None, owner: APIClient, keyword: str, sample: str, blocked: str, words: str
) -> None:
    assert send(owner, violation(keyword, sample)).status_code == 200
    group = Group.objects.get()
    assert group.blocked_source == f"{keyword} {blocked}".strip()
    assert words in cause(group.directive, group.blocked_source)
    assert list(findings()) == []


@pytest.mark.django_db(transaction=True)
def test_exported_report_is_imported_into_the_same_group(
    collecting: None, owner: APIClient, tmp_path: Any
) -> None:
    samples = {
        POLICY: ("angular#bundler", "dompurify"),
        SINK: ("Element innerHTML|<a href='https://a.test/?q=1#x'>", "eval|1"),
    }
    for keyword, texts in samples.items():
        for text in texts:
            send(owner, violation(keyword, text))
    assert "https://a.test/'>" in "".join(Report.objects.values_list("sample", flat=True))
    file = tmp_path / "reports.jsonl"
    file.write_text(run("export_csp_reports"))
    run("import_csp_reports", str(file))
    assert set(Group.objects.values_list("reports", flat=True)) == {2}
    assert Group.objects.count() == 4


@pytest.mark.django_db(transaction=True)
def test_page_and_api_say_what_to_do(collecting: None, owner: APIClient) -> None:
    send(owner, violation(SINK, "Element innerHTML|<i>x</i>"))
    send(owner, violation(POLICY, "dompurify"))
    listed = {each["title"]: each for each in owner.get(GROUPS).json()["groups"]}
    sink = listed["Text without a trusted type in Element innerHTML"]
    policy = listed["Trusted Types policy dompurify"]
    advice = owner.get(f"{GROUPS}/{sink['id']}").json()["advice"]
    assert (advice["policy_entry"], advice["directive"]) == (None, "require-trusted-types-for")
    assert "DOMPurify" in advice["reasons"][0]
    advice = owner.get(f"{GROUPS}/{policy['id']}").json()["advice"]
    given = (advice["policy_entry"], advice["risk_if_allowed"])
    assert given == ("trusted-types dompurify", "high")
    assert (advice["prevented_reports"], advice["tested_reports"]) == (1, 1)
    client = in_admin("owner")
    shown = client.get("/admin/csp/group/").text
    assert "Change the script" in shown
    page = client.get(f"/admin/csp/group/{policy['id']}/change/").text
    assert "trusted-types dompurify" in page
    # The name with a # is kept, and the directive that blocked it is marked.
    assert "<code>trusted-types</code> known angular#unsafe-bypass <span" in page
    site_name = Group.objects.first().site  # type: ignore[union-attr]
    Group.objects.filter(pk=policy["id"]).update(state="acknowledged")
    found = site_policy.site_policy(site_name, now=Report.objects.latest("received_at").received_at)
    assert found
    assert "trusted-types known angular#unsafe-bypass dompurify" in found["policy"]


@pytest.mark.django_db(transaction=True)
def test_extension_is_noise_and_needs_no_entry(collecting: None, owner: APIClient) -> None:
    send(owner, violation(POLICY, "dompurify", source_file="moz-extension"))
    send(owner, violation(POLICY, "other"))
    rules = {g.blocked_source: g.noise_rule for g in Group.objects.select_related("noise_rule")}
    assert rules[f"{POLICY} other"] is None
    assert rules[f"{POLICY} dompurify"] == NoiseRule.objects.get(name="scheme-moz-extension")
    group = Group.objects.get(noise_rule__isnull=False)
    advice = owner.get(f"{GROUPS}/{group.pk}").json()["advice"]
    assert (advice["policy_entry"], advice["risk_if_allowed"]) == (None, "low")
    assert "noise rule" in advice["reasons"][0]


BLOCKED = Blocked(
    "trusted-types", f"{POLICY} dompurify", (POLICY,), "https://a.test", SITE_POLICY, True
)


@pytest.mark.parametrize(
    ("change", "entry", "risk", "words"),
    [
        ({}, "trusted-types dompurify", Risk.MEDIUM, "decide which text becomes code"),
        ({"is_confirmed": False}, "trusted-types dompurify", Risk.HIGH, "No operator"),
        ({"source": f"{POLICY} default"}, "trusted-types default", Risk.HIGH, "without a trusted"),
        ({"source": f"{POLICY} known"}, "", Risk.MEDIUM, "second Trusted Types policy"),
        ({"policy": "trusted-types *"}, "", Risk.MEDIUM, "second Trusted Types policy"),
        ({"policy": ""}, "trusted-types dompurify", Risk.MEDIUM, "Read them first"),
        ({"source": POLICY}, "", Risk.MEDIUM, "whole name"),
        ({"source": f"{POLICY} {'a' * 40}"}, "", Risk.MEDIUM, "whole name"),
        ({"source": f"{POLICY} a; script-src *"}, "", Risk.MEDIUM, "whole name"),
        ({"source": f"{SINK} Element innerHTML"}, "", Risk.HIGH, "text to Element innerHTML"),
        ({"source": SINK}, "", Risk.HIGH, "text to a sink"),
        ({"is_noise": True}, "", Risk.LOW, "noise rule"),
    ],
)
def test_advice(change: dict[str, Any], entry: str, risk: Risk, words: str) -> None:
    found = advise(replace(BLOCKED, **change))
    assert (found.policy_entry, found.risk) == (entry, risk)
    assert words in " ".join(found.reasons)


def test_entry_replaces_none() -> None:
    found = extended(parse("trusted-types 'none'; img-src 'self'"), advise(BLOCKED))
    assert found == {"trusted-types": ("dompurify",), "img-src": ("'self'",)}


KEPT = (
    "trusted-types angular#unsafe-bypass lit-html 'allow-duplicates'",
    "script-src 'self' 'report-sha256'; TRUSTED-TYPES nextjs#bundler; img-src 'self'",
)
FRAGMENTS = "script-src a.test#x; trusted-types https://a.test/b#x"


@pytest.mark.parametrize(
    ("policy", "stored"),
    [
        *((text, text) for text in KEPT),
        (FRAGMENTS, "script-src a.test; trusted-types https://a.test/b"),
    ],
)
def test_names_of_policies_are_kept_and_fragments_removed(policy: str, stored: str) -> None:
    assert scrubbed_policy(policy) == stored


@given(st.text(max_size=80))
def test_blocked_source_of_a_forged_report_has_no_name(text: str) -> None:
    keyword, name = split_source(text)
    assert (keyword, name) == ("", "") or name == "" or name.replace(" ", "").isascii()


def test_keywords_for_hashes_change_neither_weaknesses_nor_advice() -> None:
    plain = "script-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'"
    hashed = plain.replace("'self'", "'self' 'report-sha256' 'report-sha512'")
    assert weaknesses(parse(hashed)) == weaknesses(parse(plain))
    url = "https://cdn.example.net/a.js"
    blocked = Blocked("script-src", "cdn.example.net", (url,), "https://a.test", plain, True)
    assert advise(replace(blocked, policy=hashed)) == advise(blocked)
