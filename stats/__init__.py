"""Deployment stats: ingests agent rows, rolls them up, and shows the deployment at any moment.

Raw rows (`AgentStat`, in hourly partitions) are the source of truth. Everything else is derived
from them in one place and can be deleted and built again (`rebuild_stats`):

    rows → COPY → AgentStat, each row once    the raw data
                → StaleMinute, a mark for each minute of the rows    what must be built again
    builder: deletes marks → builds those minutes, their hour, the newest row of each agent
    collector: runs the builder, then takes one snapshot

The code never adds to a stored sum. A late, repeated or erased row only marks its minute, and the
builder computes that minute again. Writers only insert marks, so they never wait for each other.
The id and the time of a row identify it. Duplicates count once.

An hour closes when its end and its last build are older than CODERAPI_STATS_RAW_RETENTION. Then
its raw rows are dropped, its rollups stay, and later rows of that hour are rejected. So a month of
old rows can be imported at once: it is rolled up, gets snapshots (`backfill`), and a day later its
raw rows are dropped.

The rooms: `ingest` (parsing and storing rows), `rollups` (hours, the builder), `history` (points,
charts). `statistics` computes the statistics of a window, `services` takes snapshots, and `jobs`
schedules them.

Known limits:

* A row that arrives again with another time counts twice. coderd makes ids at random, so finding it
  would take a search through every hour.
* Rows of closed hours are rejected. Accepting them would need sums that can be added to.
* The state of a workspace before its first report is unknown.
"""
