"""Scheduled jobs that run once on any number of hosts.

An app registers plain functions of `now` in its module `jobs`, and `registry` discovers them at
startup. `worker` runs each job in its own thread, so that no job waits for another. `selectors`
compute when a job is due. Regular slots are multiples of the interval since 1970, so every worker
computes the same slots. A failed run is retried after a growing delay. `services` run a job.

Two mechanisms prevent concurrent runs. The row of a run is unique for (job, slot), so only one
worker starts a slot. An advisory lock, on a separate connection, prevents runs of different slots
from overlapping. When the process of a run dies, its lock is released with its connection, and the
next check marks the run as failed.

A run that exceeds the job's `max_duration` is late, and so is a job whose next run has not finished
in time. `/readyz`, the admin's home page and the gauge `coderapi_job_late` show it.

Known limits: a late run is not stopped, because Python cannot stop a thread. A job limits its own
waits with deadlines and statement timeouts. Missed slots are not run later, because every run
processes all pending work.
"""
