"""Measures the service beside references on the same machine, in alternating rounds.

`make bench` runs all groups of `bench.scenarios` in less than 12 minutes, records the figures in
bench/results, and writes the table of docs/performance.md.

`harness` has scenarios, measures and rounds. `service` starts the service and the applications in
`references`. `load` runs wrk and pgbench, and `requests` has the scripts of wrk. `rows` writes rows
without the service. `report` writes the results, and `compare` compares two of them.
`faults` is another program: it breaks dependencies of the service.

The load generator, the service and PostgreSQL share the processors of one machine. So only ratios
have a meaning, and only on a machine without other load.
"""
