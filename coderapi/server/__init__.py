"""`manage.py server`: one supervisor, and children that it starts, watches and ends.

The command claims the addresses (`addresses`, `certificates`), migrates under a lock (`migrating`)
and then hands over to the `supervisor`. Its children are fresh Python processes: one for HTTP and
one for HTTPS, each granian's main process with its web workers (`http`), one for the jobs
(`worker`), and one for Prometheus (`prometheus`) if that is asked for. `command` holds what the
server shares with `manage.py worker`.

A child gets its orders through a pipe, never by arguments or environment, since orders hold
secrets (`children`). It ends when that pipe ends, so that none outlives the supervisor. A child
that dies is started again, after a pause that doubles up to 30 seconds.

At a signal the children finish their requests and jobs. Whoever has not ended within 25 seconds, or
by a second signal, is killed, and the exit status is 1.

The port is held by a socket of ours that does not listen, from before the migrations on. So another
program that wants the port is refused at once, and a web worker that is replaced finds it free.

Not done here: no reload of settings without a restart, and no change of the number of workers
while it runs. A load balancer and several servers give both.
"""
