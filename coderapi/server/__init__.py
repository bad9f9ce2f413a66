"""`coderapi server`: a supervisor process, and the child processes that it starts and stops.

`start` checks the files for HTTPS (`certificates`), migrates the database under a lock if a
migration is missing (`coderapi.database`), imports the application, and then runs the `supervisor`.
The children are forks of the supervisor:

* the web workers (`worker`), for HTTP and HTTPS
* one for the jobs
* one for metrics (`prometheus`), if enabled

A fork shares the memory of the imported modules, and needs no time to import them again
(`children`). `command` contains the code that the server shares with `coderapi worker`, and
`signals` receives the signals that end a process.

A child ends when its pipe to the supervisor closes, so it does not keep running after the
supervisor has ended. A child that dies is restarted after a delay. The delay doubles with each
restart, up to 30 seconds.

Before the migrations, the supervisor binds each port with a socket that does not listen, so that
another program cannot bind the port. The web workers of an address inherit this socket, and share
the connections that wait in its queue (`listener`). So connections wait while a worker is replaced.

A worker has a `connection` object for each client, which parses `heads` and `chunks`, and passes
the requests to the application (`kernel.http.exchange`). `clients` counts the connections of each
address, and disconnects clients. All bounds are in `limits`.

After a signal, `/readyz` fails, and the web workers serve requests for CODERAPI_SHUTDOWN_DELAY.
Then they close each connection after its next response, stop accepting, and finish the running
requests. The other children finish their jobs. After 25 more seconds or a second signal, the
supervisor kills the children that are still running. Then its exit status is 1.

Not supported: reloading settings, or changing the number of workers, without a restart. To avoid
downtime, run several servers behind a load balancer and restart them one by one.
"""
