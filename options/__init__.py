"""Options: the settings of Coder's server and of coderapi, in pure Python without Django.

`catalogue` lists every option as data: Coder's in Coder's order, and coderapi's own settings, which
only environment variables set. Each option has a type from `values`, which parses text and YAML,
rejects invalid values, and formats values.

`sources` reads settings from the environment, flags and a YAML file, each with its place (variable,
flag, or file:line:column). `resolution` picks the effective value: flags override the environment,
which overrides the file, which overrides the default. `configuration.load` combines these steps and
raises one error with the mistakes of all sources. `start` adds this machine's defaults, and rejects
values that Coder's server supports and coderapi does not.

A configuration becomes the JSON of `GET /deployment/config` in two wire forms (`rendering`,
`wires`), a YAML file (`written_config`), and the tables of `manage.py options` (`table`). The
catalogue becomes the flags' help and docs/options.md (`reference`). All output goes through
`redaction`, which removes secret options and passwords in URLs.

Not supported: reloading without a restart, as in Coder; aliases and type tags in YAML, which are
errors. Options that have no effect here are in the catalogue because clients show all of them.
"""
