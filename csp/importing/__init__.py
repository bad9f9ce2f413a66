"""Imports files of reports. Each line is a request body as a browser sends it.

`items` parses lines. `files` skips lines that an earlier import has committed, and commits the
other lines.
"""
