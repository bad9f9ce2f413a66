"""`make faults`: breaks what the service stands on, repairs it, and keeps a ledger.

A round goes like this. Clients send reports, agent rows and token requests, and ask for documents
and probes, all the time (`load`). A fault breaks something, holds it broken for a while and repairs
it (`killing`, `connections`, `hosts`, `disk`, `starting`, `stopping`). The round waits until every
kind of request goes well again, and ends the load. Then the ledger asks PostgreSQL itself, past
proxies and service, for everything that was sent (`ledger`):

* acknowledged and not found is lost;
* found twice is doubled;
* answered 503 and found all the same is an untruth: the client would send it again.

A stage is what faults need below them: one cluster behind a proxy, a primary with a standby, or the
private PostgreSQL on a small disk (`stages`). `registry` names all faults in order.

Figures are measured, not promised: the machine may be busy. The exit status says whether the ledger
is clean, every recovery took at most ten seconds without help, and `/healthz` at most two.

It does not look at rollups and snapshots (the tests do), and it does not break the machine itself:
a power cut is a kill -9 of PostgreSQL here.
"""
