"""The floor below all apps. It knows no business, imports no app and names no path of one.

`http` receives requests and answers them, `db` connects, listens and partitions, `postgres` runs
the private PostgreSQL, `telemetry` logs and measures. Beside these rooms lie single files: bases of
the admin's pages, charts, numbers and times for people, durations in Go's notation, mail, the data
directory, reading lines, loops and signals, and whether this is a checkout.

Something belongs here if two apps need it and it would make sense in another project. If it knows
what a user, a report or a snapshot is, it belongs to that app. What apps must tell the kernel (a
card of the home page, a metric, the cap of a path) they register with it, or the project's settings
say it.
"""
