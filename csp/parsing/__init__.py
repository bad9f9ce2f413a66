"""Parses a body: bytes to JSON that PostgreSQL accepts, and JSON to violations.

A new format is added in `formats`. Later steps do not depend on the names that a browser uses.
"""
