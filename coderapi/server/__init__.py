"""`manage.py server`: one supervisor process, and the child processes that it starts and ends.

The command claims the addresses (`addresses`, `certificates`), migrates the database under a lock
(`migrating`), and then runs the `supervisor`. The children are new Python processes: one for HTTP
and one for HTTPS (`http`), each granian's main process with its web workers; one for the jobs
(`worker`); and one for metrics (`prometheus`), if enabled. `command` has the code that the server
shares with `manage.py worker`.

A child reads its worker configuration from a pipe (`children`). Arguments and environment variables
would show the secrets in it. A child ends when that pipe closes, so it never outlives the
supervisor. A child that dies is restarted after a pause that doubles up to 30 seconds.

After a signal the children finish their requests and jobs. The supervisor kills those that have not
ended within 25 seconds, or at a second signal, and then its exit status is 1.

From before the migrations on, the supervisor holds each port with a socket that does not listen.
Another program that wants the port gets an error at once, and a new web worker finds the port free.

Not supported: reloading settings, and changing the number of workers, without a restart. Run
several servers behind a load balancer for that.
"""
