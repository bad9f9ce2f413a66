from __future__ import annotations

from rest_framework import serializers

from kernel.http.serializers import WireSerializer


class ViolationSerializer(WireSerializer):
    """Only for the schema: what is really sent is told apart by shape, and far more than this."""

    component = "coderd.cspViolation"
    example = {
        "csp-report": {
            "document-uri": "https://coder.example.com/workspaces",
            "effective-directive": "script-src-elem",
            "blocked-uri": "https://evil.example.net/lib.js",
            "disposition": "enforce",
        }
    }

    def get_fields(self) -> dict[str, serializers.Field]:  # type: ignore[type-arg]
        # The member's name is no Python identifier.
        return {
            "csp-report": serializers.DictField(
                help_text="The report as a browser's report-uri sends it."
            )
        }
