"""Prepares a command before Django's settings are loaded.

`bootstrap` reads the environment file and Coder's flags, and starts the private database.
`addresses` reserves the addresses of the server. `renames` accepts old names of settings and
commands. `neighbors` detects packages with the same names as ours. `exit_status` handles signals,
and is imported first.
"""
