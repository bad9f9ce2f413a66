"""`manage.py server`: a supervisor process, and the child processes that it starts and stops.

The command reserves the addresses (`addresses`, `certificates`), migrates the database under a lock
(`migrating`), and then runs the `supervisor`. The children are new Python processes:

* one for HTTP and one for HTTPS (`http`). Each is the main process of granian with its web workers.
* one for the jobs (`worker`)
* one for metrics (`prometheus`), if enabled

`command` contains the code that the server shares with `manage.py worker`.

A child reads its worker configuration from a pipe (`children`). The configuration contains secrets,
which other users could see in arguments and environment variables. A child ends when the pipe
closes, so it does not keep running after the supervisor has ended. A child that dies is restarted
after a delay. The delay doubles with each restart, up to 30 seconds.

After a signal, the children finish their requests and jobs. After 25 seconds or a second signal,
the supervisor kills the children that are still running. Then its exit status is 1.

Before the migrations, the supervisor binds each port with a socket that does not listen, and keeps
the socket open. So another program cannot bind the port, but new web workers can.

Not supported: reloading settings, or changing the number of workers, without a restart. To avoid
downtime, run several servers behind a load balancer and restart them one by one.
"""
