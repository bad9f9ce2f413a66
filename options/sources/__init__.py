"""The sources of option values: the environment, flags and a YAML file.

Each source returns its settings, errors and warnings.
"""
