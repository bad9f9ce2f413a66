"""Parses a request body.

`tolerant_json` converts bytes to a JSON value that PostgreSQL accepts. `formats` converts the JSON
value to violations. To support a new format, change `formats`. Later steps do not depend on the
member names that a browser sends.
"""
