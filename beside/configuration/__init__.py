"""Coder's configuration, version and experiments, returned instead of our own.

`documents` asks Coder for them, and `translation` removes secrets and converts the wire format.
"""
