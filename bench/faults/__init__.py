"""`make faults`: breaks PostgreSQL, disks and processes, repairs them, and keeps a ledger.

In a round, clients send reports, agent rows and token requests, and request documents and probes
(`clients`). A fault breaks something for a while and repairs it (`killing`, `connections`, `hosts`,
`disk`, `starting`, `stopping`, `imports`). The round waits until every kind of request succeeds
again, and ends the load. Then the ledger looks in PostgreSQL for each mark that was sent
(`ledger`):

* An acknowledged mark that is not found is lost.
* A mark that is found twice is doubled.
* A mark that is found although the response was 503 is an error: the client would send it again.

A stage is the environment of a fault: one cluster behind a proxy, a primary with a standby, or the
private PostgreSQL on a small disk (`stages`).

The exit status is 0 if the ledger is clean, every recovery took at most ten seconds without help,
and `/healthz` at most two. A busy machine can exceed these times.

It does not check rollups and snapshots, as the tests do. It does not break the machine: a power cut
is a kill -9 of PostgreSQL here.
"""
