"""Checks of the setup beside Coder, for `check_coder` and the home page of the admin.

`setup` checks what coderapi can see: Coder, the proxy, the token and the database. `database`
examines the role, tables and columns of Coder's database, and `coder_options` the options of Coder.
Each result is a `findings.Finding`.
"""
