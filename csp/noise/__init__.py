"""Marks reports that no site can cause, such as those of extensions and translators.

Rules are rows that an operator edits. Noise is stored and counted like other reports, and only
hidden. So a rule can be tried on stored reports, and disabling it shows them again.
"""
