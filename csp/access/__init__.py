"""Decides which senders may report: senders with a session token, with an ingest key, or all.

Ingest keys are public, because every visitor of a page can read the page's policy. An ingest key
only allows sending reports, and only from pages of its origins.
"""
