from __future__ import annotations

from typing import Any

from rest_framework import serializers

from csp.advice.refusals import Risk
from csp.models import Group, State
from csp.triage.decisions import MAX_NOTE
from csp.triage.releases.gate import MAX_GROUPS
from csp.triage.states import CURRENT_STATES
from kernel.http.views.rendering import WireSerializer
from users.requests import RequestSerializer, TextField, WholeNumberField

EXAMPLE: dict[str, Any] = {
    "id": "0b2d7c51-6a3f-4c0e-9f57-2f8a4f6d1c22",
    "title": "Script from cdn.example.net",
    "site": "https://coder.example.com",
    "directive": "script-src",
    "blocked_source": "cdn.example.net",
    "noise_rule": None,
    "is_noise": False,
    "state": "new",
    "state_set_at": None,
    "ignored_until": None,
    "ignored_client_days": None,
    "note": "",
    "assigned_to": None,
    "first_seen": "2026-11-03T08:15:00Z",
    "last_seen": "2026-11-05T17:42:10Z",
    "reports": 412,
    "noise_reports": 0,
    "pages": 9,
    "client_days": 35,
    "new_in": "2.29.0",
}


class TextOrNull(serializers.CharField):
    """Renders an empty string as null."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(allow_null=True, **kwargs)

    def to_representation(self, value: str) -> Any:
        return value or None


class WindowSerializer(WireSerializer):
    component = "coderapi.CSPWindow"
    about = (
        "The period of the numbers of violation groups: today and the 29 days before (UTC), or "
        "fewer if the reports are deleted earlier. In the first minutes of a day, the numbers may "
        "contain one day more."
    )
    example = {"since": "2026-10-10T00:00:00Z", "days": 30}

    since = serializers.DateTimeField(help_text="The start of the period.")
    days = serializers.IntegerField(help_text="The number of days, including today.")


CLIENT_DAYS_HELP = "The number of different clients on each day, summed over the days."
WINDOW_HELP = "The period of `reports`, `noise_reports`, `pages` and `client_days`."


class GroupSerializer(WireSerializer):
    component = "coderapi.CSPGroup"
    about = "All CSP reports with one cause."
    example = EXAMPLE

    id = serializers.UUIDField(help_text="The id of the group.")
    title = serializers.SerializerMethodField(
        help_text="The cause in a few words, as a title for lists."
    )
    site = serializers.CharField(
        help_text="The origin of the pages, or `other` if it is neither the access URL nor an "
        "origin of an ingest key."
    )
    directive = serializers.CharField(help_text="The directive that was violated.")
    blocked_source = serializers.CharField(
        help_text="The blocked source: a host, a scheme, or a keyword such as `inline`."
    )
    noise_rule = serializers.CharField(
        source="noise_rule.name",
        allow_null=True,
        help_text="The name of the noise rule that hides the group, or null.",
    )
    is_noise = serializers.SerializerMethodField(
        help_text="Whether a noise rule hides the group. Lists and numbers omit noise by default."
    )
    state = serializers.ChoiceField(
        CURRENT_STATES,
        source="current",
        help_text="The state. A resolved group with a newer report is `regressed`.",
    )
    state_set_at = serializers.DateTimeField(
        allow_null=True, help_text="When an operator set the state, or null."
    )
    ignored_until = serializers.DateTimeField(
        allow_null=True, help_text="When the ignored group becomes new again, or null."
    )
    ignored_client_days = serializers.IntegerField(
        allow_null=True,
        help_text="The number of client days since `state_set_at` at which an ignored group is new "
        "again, or null.",
    )
    note = serializers.CharField(help_text="The note of the operators.")
    assigned_to = serializers.CharField(
        source="assigned_to.username",
        allow_null=True,
        help_text="The username of the user who takes care of the group, or null.",
    )
    first_seen = serializers.DateTimeField(help_text="When the first report arrived.")
    last_seen = serializers.DateTimeField(help_text="When the newest report arrived.")
    reports = serializers.IntegerField(
        help_text="The number of reports in the window that are not noise."
    )
    noise_reports = serializers.IntegerField(
        help_text="The number of reports in the window that a noise rule matched on arrival. "
        "`reports` and the other numbers of the group omit them."
    )
    pages = serializers.IntegerField(help_text="The number of different pages in the window.")
    client_days = serializers.IntegerField(
        help_text="The number of different clients on each day, summed over the days of the window."
    )
    new_in = TextOrNull(
        help_text="The version of the site in which the group is new: it was reported with this "
        "version, and with no older one. Null if there is none, or if the site has reported only "
        "one version."
    )

    def get_title(self, group: Group) -> str:
        return str(group)

    def get_is_noise(self, group: Group) -> bool:
        return group.noise_rule is not None


class GroupsSerializer(WireSerializer):
    component = "coderapi.CSPGroups"
    about = "A page of violation groups."
    example = {"next": None}

    window = WindowSerializer(help_text=WINDOW_HELP)
    groups = GroupSerializer(many=True, help_text="The groups, most client days first.")
    next = TextOrNull(help_text="The value of `after` for the next page, or null on the last page.")


class FacetValueSerializer(WireSerializer):
    component = "coderapi.CSPFacetValue"
    about = "A value of a facet, and its number of reports."
    example = {"value": "Firefox 149", "reports": 7}

    value = TextOrNull(help_text="The value, or null if the reports do not have one.")
    reports = serializers.IntegerField(help_text="The number of reports with this value.")


class FacetsSerializer(WireSerializer):
    component = "coderapi.CSPFacets"
    about = "The most frequent values in the newest stored reports of a violation group."
    example = {
        "page_kind": [{"value": "https://coder.example.com/@{user}/{workspace}", "reports": 7}],
        "disposition": [{"value": "enforce", "reports": 7}],
        "source_file": [{"value": None, "reports": 7}],
    }

    page_kind = FacetValueSerializer(
        many=True, help_text="The kinds of pages: URLs with placeholders."
    )
    disposition = FacetValueSerializer(
        many=True, help_text="`enforce` if the browser blocked the source, otherwise `report`."
    )
    browser = FacetValueSerializer(many=True, help_text="The browsers.")
    source_file = FacetValueSerializer(many=True, help_text="The files with the code.")


class AdviceSerializer(WireSerializer):
    component = "coderapi.CSPAdvice"
    about = "The advice for a violation group."
    example = {
        "policy_entry": "script-src https://cdn.example.net",
        "setting": "CODER_ADDITIONAL_CSP_POLICY",
        "directive": "script-src",
        "protected_content": "the scripts of a page, which can read and change all of it",
        "risk_if_allowed": "medium",
        "reasons": ["Scripts from cdn.example.net can read and change the whole page."],
        "prevented_reports": 57,
        "tested_reports": 57,
    }

    policy_entry = TextOrNull(
        help_text="The directive, and the sources to add to it, that allow the source. Null if no "
        "entry should be added.",
    )
    setting = TextOrNull(
        help_text="The setting of Coder to which the entry belongs. Null if the page is not one of "
        "Coder: add the sources to the policy of the site.",
    )
    directive = serializers.CharField(help_text="The directive that the entry changes.")
    protected_content = serializers.CharField(
        help_text="The kind of content that this directive protects."
    )
    risk_if_allowed = serializers.ChoiceField(
        list(map(str, Risk)), source="risk", help_text="The risk of allowing the source."
    )
    reasons = serializers.ListField(child=serializers.CharField(), help_text="The reasons.")
    prevented_reports = serializers.IntegerField(
        help_text="How many of the tested reports the entry would have prevented."
    )
    tested_reports = serializers.IntegerField(
        help_text="The number of tested reports: those of the last 7 days that the newest 5,000 "
        "stored reports represent. At most 1,000 different reports are tested."
    )


class GroupVersionSerializer(WireSerializer):
    component = "coderapi.CSPGroupVersion"
    about = "The client days of a violation group with one version of the site."
    example = {"version": "2.29.0", "client_days": 12}

    version = serializers.CharField(help_text="The version.")
    client_days = serializers.IntegerField(help_text=CLIENT_DAYS_HELP)


class GroupWithWindowSerializer(GroupSerializer):
    component = "coderapi.CSPGroupWithWindow"
    about = "A violation group, and the window of its numbers."

    window = WindowSerializer(help_text=WINDOW_HELP)


class GroupDetailSerializer(GroupWithWindowSerializer):
    component = "coderapi.CSPGroupDetail"
    about = "A violation group with its facets and the advice for it."

    versions = GroupVersionSerializer(
        many=True,
        source="versions_shown",
        help_text="The newest versions with which the group was reported, newest first. Empty if "
        "the sites have reported only one version each.",
    )
    facets = FacetsSerializer(help_text="The most frequent values in the newest stored reports.")
    advice = AdviceSerializer(help_text="The advice for the group.")


class DecisionSerializer(RequestSerializer):
    component = "coderapi.UpdateCSPGroupRequest"
    about = "A new state, note or user of a violation group. Absent members do not change."
    example = {"state": "ignored", "ignored_client_days": 50, "note": "A browser extension."}

    state = serializers.ChoiceField(
        State.values,
        required=False,
        # Django REST framework would repeat the wrong value, which may be long.
        error_messages={"invalid_choice": f"Must be one of {', '.join(State.values)}."},
        help_text="The new state. An ignored group keeps its limits. To ignore it for good, set it "
        "to `new` first.",
    )
    note = TextField(
        required=False, allow_blank=True, max_length=MAX_NOTE, help_text="The new note."
    )
    assigned_to = TextField(
        required=False,
        max_length=256,
        help_text="The username of the owner or auditor who takes care of the group. Null removes "
        "the assignment.",
    )
    ignored_until = serializers.DateTimeField(
        required=False, help_text="Ignore the group until this time."
    )
    ignored_client_days = WholeNumberField(
        required=False,
        min_value=1,
        max_value=2**53,
        help_text="Ignore the group until it has had this number of further client days.",
    )

    def to_internal_value(self, data: Any) -> Any:
        found = super().to_internal_value(data)
        return found | {"assigned_to": ""} if data.get("assigned_to", "") is None else found


class DirectiveCountSerializer(WireSerializer):
    component = "coderapi.CSPDirectiveCount"
    about = "The number of reports of a directive."
    example = {"directive": "script-src", "reports": 412}

    directive = serializers.CharField(help_text="The directive.")
    reports = serializers.IntegerField(help_text="The number of reports.")


class SiteCountSerializer(WireSerializer):
    component = "coderapi.CSPSiteCount"
    about = "A site with violation groups."
    example = {"site": "https://coder.example.com", "open_groups": 3, "reports": 981}

    site = serializers.CharField(help_text="The site: an origin, or `other`.")
    open_groups = serializers.IntegerField(
        help_text="The number of groups whose state is `new` or `regressed`."
    )
    reports = serializers.IntegerField(help_text="The reports of the period, without noise.")


class SummarySerializer(WireSerializer):
    component = "coderapi.CSPSummary"
    about = "The violation groups by state, and the reports of a period."
    example = {
        "as_of": "2026-11-08T09:30:00Z",
        "site": None,
        "since": "2026-11-01T00:00:00Z",
        "groups_by_state": {
            "new": 3,
            "acknowledged": 1,
            "ignored": 7,
            "resolved": 4,
            "regressed": 0,
        },
        "new_groups": 2,
        "reports": 981,
        "noise_reports": 5210,
    }

    as_of = serializers.DateTimeField(
        help_text="When all numbers were read. They are at most a minute old."
    )
    site = TextOrNull(help_text="The site, or null for all sites.")
    since = serializers.DateTimeField(help_text="The start of the period, a full hour.")
    groups_by_state = serializers.DictField(
        child=serializers.IntegerField(), help_text="The number of groups in each state."
    )
    new_groups = serializers.IntegerField(help_text="The groups first seen in the period.")
    reports = serializers.IntegerField(help_text="The reports of the period, without noise.")
    noise_reports = serializers.IntegerField(help_text="The reports of the period that are noise.")
    directives = DirectiveCountSerializer(
        many=True, help_text="The directives with the most reports in the period."
    )
    sites = SiteCountSerializer(
        many=True,
        help_text="The sites that have visible groups. Their names are values of the parameter "
        "`site`.",
    )


class GateGroupSerializer(GroupSerializer):
    component = "coderapi.CSPGateGroup"
    about = "A violation group that a new version of a site has added."
    example = {**EXAMPLE, "client_days_new_version": 12, "risk_if_allowed": "high"}

    client_days_new_version = serializers.IntegerField(
        help_text="The number of different clients with the newer version on each day, summed over "
        "the days."
    )
    risk_if_allowed = serializers.ChoiceField(
        list(map(str, Risk)), source="advice.risk", help_text="The risk of allowing the source."
    )


class GateSerializer(WireSerializer):
    component = "coderapi.CSPGate"
    about = "The violation groups that a new version of a site has added."
    example = {
        "passed": False,
        "old_version": "2.28.1",
        "new_version": "2.29.0",
        "further_groups": 0,
    }

    window = WindowSerializer(help_text=WINDOW_HELP)
    passed = serializers.BooleanField(help_text="Whether no group was found.")
    old_version = serializers.CharField(help_text="The older version.")
    new_version = serializers.CharField(help_text="The newer version.")
    groups = GateGroupSerializer(many=True, help_text="The groups, most client days first.")
    further_groups = serializers.IntegerField(
        help_text=f"The number of further groups, if there are more than {MAX_GROUPS}. Their risk "
        "was not read, so they count whatever their risk is."
    )
