from __future__ import annotations

from rest_framework import serializers

from coderapi.serializers import WireSerializer


class CreateFirstUserRequest(WireSerializer):
    component = "codersdk.CreateFirstUserRequest"

    email = serializers.EmailField(max_length=254)
    username = serializers.CharField(max_length=255)
    name = serializers.CharField(max_length=128, required=False, allow_blank=True, default="")
    password = serializers.CharField(max_length=255, trim_whitespace=False)


class CreateFirstUserResponse(WireSerializer):
    component = "codersdk.CreateFirstUserResponse"

    user_id = serializers.UUIDField()
    organization_id = serializers.UUIDField()
