"""What views use: base classes, cached documents, JSON of serializers, and responses to errors."""
