"""Work that runs by the clock, on any number of hosts, each time once.

An app registers plain functions of `now` in its module `jobs`; `registry` finds them at the start.
`worker` gives every job a thread of its own, so that none waits behind another. `selectors` say
when a job is due: regular slots are multiples of the interval since 1970, so that every worker
names the same one, and a failed run is tried again after a growing pause. `services` runs a job.

Two things keep runs apart. The row of a run is unique for (job, slot), so one worker alone begins
a slot. An advisory lock, on a connection of its own, keeps runs of different slots from meeting.
When the process of a run dies, its lock goes with its connection, and the next look marks the run
as failed.

A job has `within`, the time that a run may take. A run past it, or a job whose next run has not
ended in time, is late: `/readyz`, the admin's home and the gauge `coderapi_job_late` say so.

Not done here: a late run is not ended by force, because Python cannot end a thread. A job bounds
its own waits, by a deadline for its requests or a time-out for its statements. Slots that were
missed are not made up for, because every job works on all that is there.
"""
