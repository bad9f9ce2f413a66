"""Scheduled jobs that run once on any number of hosts.

A job is a function with one argument: the current time. An app registers its jobs in its module
`jobs`. `registry` imports these modules at the first use. `worker` runs each job in its own thread,
so that jobs do not wait for each other. `selectors` computes the time of the next run. `services`
runs the job.

A slot is the scheduled time of a run. Regular slots are multiples of the interval since 1970, so
that every worker computes the same slots. A failed run is retried after a growing delay.

Two mechanisms prevent concurrent runs. The row of a run is unique for its job and slot, so only one
worker can start the run of a slot. An advisory lock prevents a run from starting before the
previous run has ended. The lock has its own connection. If the process dies, PostgreSQL releases
the lock, and the next check marks the run as failed.

A job is late if its run takes longer than `max_duration`, or if its next run has not finished in
time. `/readyz`, the admin's home page and the gauge `coderapi_job_late` show late jobs.

Known limits: a late run is not stopped, because Python cannot stop a thread. So jobs must use
deadlines and statement timeouts. Missed slots are not run later, because every run processes all
pending work.
"""
