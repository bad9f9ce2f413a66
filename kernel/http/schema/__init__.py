"""The API described as OpenAPI: operations, their components, headers and errors."""
