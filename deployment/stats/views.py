from __future__ import annotations

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from coderapi.documents import Document
from coderapi.rendering import render_json
from coderapi.views import DocumentView
from deployment.stats.selectors import newest_snapshot
from deployment.stats.serializers import DeploymentStatsSerializer
from deployment.stats.services import TOPIC
from tokens.permissions import may


class DeploymentStatsView(DocumentView):
    permission_classes = [may("deployment_stats:read")]
    document = Document(
        "stats",
        lambda: render_json(DeploymentStatsSerializer(newest_snapshot()).data),
        topic=TOPIC,
    )

    @extend_schema(
        operation_id="get-deployment-stats",
        summary="Get deployment stats",
        tags=["General"],
        description="The newest figures of the deployment, kept from snapshot to snapshot.",
        responses={200: DeploymentStatsSerializer},
    )
    def get(self, request: Request) -> HttpResponse:
        return super().get(request)
