from __future__ import annotations

from rest_framework import serializers

from coderapi.serializers import WireSerializer


class TokenConfigSerializer(WireSerializer):
    component = "codersdk.TokenConfig"

    max_token_lifetime = serializers.IntegerField(
        help_text="The longest lifetime that a new token of this user may have, in nanoseconds."
    )
