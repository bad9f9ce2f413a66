"""Options: what an operator can set, in pure Python, before Django is there.

`catalogue` states every option of Coder's server once, as data and in Coder's order, and beside
them this service's own settings, which only environment variables set. Each option has a type from
`values`, which reads text and YAML, refuses what it does not accept, and prints its values again.

`sources` gather settings from the environment, from flags and from a YAML file, each with its place
(a variable, a flag, file:line:column). `resolution` makes one value of them for each JSON path: a
flag beats the environment, which beats the file, which beats the default. `configuration.load`
puts this together and raises one error that lists every mistake of every source. `start` adds the
defaults of this machine, and refuses what Coder's server could do and this service cannot.

From a configuration come the JSON documents of `GET /deployment/config` in two wire forms
(`rendering`, `wires`), a YAML file that reads back (`written_config`), the tables of `manage.py
options` (`table`), and from the catalogue alone the flags' help and docs/options.md (`reference`).
All values pass `redaction` on their way out: no secret option and no password in a URL is shown.

Not done: nothing is read again while a server runs, as with Coder's, so a change needs a restart.
Aliases, anchors that are used, and type tags in YAML are refused rather than guessed. Options that
are only reported to clients stay in the catalogue, because clients show all of them.
"""
