"""Reads a body as browsers send it: bytes to JSON that PostgreSQL takes, and JSON to violations.

A new form of report is added in `formats`; nothing after it knows how a browser spells things.
"""
