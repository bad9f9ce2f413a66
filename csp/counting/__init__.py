"""Counts what is not stored as a report: reports of other types, and rejected requests.

A request adds to counts in memory, which a thread writes a few seconds later (`counts`).
"""
