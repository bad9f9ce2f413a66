"""Base classes of views, cached documents, the JSON of serializers, and responses to errors."""
