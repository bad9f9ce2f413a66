"""Marks reports that no site can cause: extensions, the browser's own pages, translators.

Rules are rows that an operator edits. Noise is stored and counted like other reports and only
hidden, so a rule can be tried on stored reports, and everything comes back when it is off.
"""
