"""Describes the API with OpenAPI: operations, components, headers and errors."""
