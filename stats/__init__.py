"""Stores agent rows, computes rollups from them, and takes snapshots of the deployment.

Agent rows (`AgentStat`, in hourly partitions) are the source of truth. The builder derives rollups
and the newest row of each agent from the agent rows. So this derived data can be deleted and built
again (`rebuild_stats`):

    rows → COPY → AgentStat     stores each row once
                → StaleMinute   marks each minute of the rows, so that it is built again
    builder    for each hour with marks: deletes its marks, builds the marked minutes and the hour,
               and updates the newest row of each agent
    collector  runs the builder, then takes one snapshot

The code never adds to a stored sum. If a row arrives late or is erased, its minute is marked, and
the builder computes the whole minute again. Writers only insert marks, so they never wait for each
other. A row is identified by its id and its time. Duplicates count once.

An hour is closed when CODERAPI_STATS_AGENT_ROW_RETENTION has passed both since its end and since
its last build. Then its agent rows are dropped and its rollups are kept. Rows of a closed hour are
rejected.
So you can import a month of old rows at once: the rows are rolled up, the missing snapshots are
taken (`backfill`), and the agent rows are dropped a day later.

The packages: `ingest` parses and stores rows, `rollups` opens and closes hours and contains the
builder, and `history` reads history and draws charts. `statistics` computes the statistics of a
window, `services` takes snapshots, and `jobs` schedules them. `states` defines the states of
workspaces.

Known limits:

* If a row arrives again with another time, it counts twice. coderd generates random ids, so finding
  the first row would need a search in every hour.
* Rows of closed hours are rejected. To accept them, the code would have to add to stored sums.
* The state of a workspace before its first report is unknown.
"""
