"""Imports files of reports. Each line is a body as a browser sends it.

`items` parses a line. `files` commits the lines that no earlier run has committed.
"""
