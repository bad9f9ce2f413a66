"""Options: the settings of Coder's server and of coderapi, in pure Python without Django.

`catalogue.toml` lists Coder's options in Coder's order. `own.toml` lists coderapi's own settings,
which only environment variables can set. `catalogue` reads both files. Each option has a type from
`values`. A type parses strings and YAML, rejects invalid values, and formats values.

`sources` reads settings from the environment, flags and a YAML file. It records the place of each
setting: the variable, the flag, or file:line:column. `configuration` picks the effective value:
flags override the environment, the environment the file, and the file the default.
`configuration.load` combines these steps and raises one error that lists the mistakes of all
sources. `start` adds the defaults that depend on this machine. `rejections` rejects values with
which the server does not start. `comparison` compares the catalogue with a running Coder server.

A configuration becomes the JSON of `GET /deployment/config` in two wire formats (`rendering`,
`option_formats`), a YAML file (`written_config`), and the tables of `coderapi options` (`table`).
The catalogue becomes the flags' help (`reference`) and a part of the OpenAPI document (`schema`).
All output goes through `redaction`, which removes secret options and passwords in URLs.

Not supported: reloading without a restart (Coder cannot do it either), and YAML aliases and type
tags, which are errors. Options that coderapi ignores are still in the catalogue, because
clients show all of Coder's options.
"""
