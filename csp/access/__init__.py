"""Decides who may report: the holder of a session token, an ingest key, or everybody.

Ingest keys are public, as every reader of a page with such a policy sees them. They are good for
the reports of named origins and for nothing else.
"""
