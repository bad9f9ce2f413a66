"""Decides which senders may report.

Depending on the configuration, these are senders with a session token, senders with an ingest key,
or all senders.

Ingest keys are public, because every visitor of a page can read the page's policy. An ingest key
only allows sending reports, and only from pages of its origins.
"""
