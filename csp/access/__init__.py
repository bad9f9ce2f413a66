"""Decides which senders may report: those with a session token, with an ingest key, or all.

Ingest keys are public, because every visitor of a page can read its policy. They only allow to
report, and only from their origins.
"""
