"""`coderapi server`: a supervisor process, and the child processes that it starts and stops.

`start` reserves the addresses (`addresses`, `certificates`), migrates the database under a lock if
a migration is missing (`migrating`), imports the application, and then runs the `supervisor`.
The children are forks of the supervisor:

* the web workers (`http`), for HTTP and HTTPS
* one for the jobs
* one for metrics (`prometheus`), if enabled

A fork shares the memory of the imported modules, and needs no time to import them again
(`children`). `command` contains the code that the server shares with `coderapi worker`.

A child ends when its pipe to the supervisor closes, so it does not keep running after the
supervisor has ended. A child that dies is restarted after a delay. The delay doubles with each
restart, up to 30 seconds.

Before the migrations, the supervisor binds each port with a socket that does not listen. The
supervisor keeps this socket, so that another program cannot bind the port. Before it forks a web
worker, it opens the listening socket of the worker, and keeps this socket, too. So connections wait
while the worker is replaced. `coderapi.connections` and `coderapi.protocol` limit what a client may
do with a connection.

After a signal, `/readyz` fails, and the web workers serve requests for CODERAPI_SHUTDOWN_DELAY.
Then they close each connection after its next response, stop accepting, and finish the running
requests. The other children finish their jobs. After 25 more seconds or a second signal, the
supervisor kills the children that are still running. Then its exit status is 1.

Not supported: reloading settings, or changing the number of workers, without a restart. To avoid
downtime, run several servers behind a load balancer and restart them one by one.
"""
