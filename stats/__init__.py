"""Deployment stats: what agents report, kept, added up, and shown as of any moment.

Raw rows are the truth (`AgentStat`, in hourly partitions). Everything else is built from them in
one place and can be thrown away and built again (`rebuild_stats`):

    rows → COPY → AgentStat, each row once    what came in
                → StaleMinute, one mark for each minute of them    what must be built again
    builder: takes marks away → builds those minutes, their hour, the newest row of each agent
    collector: builder, then one snapshot

Nothing is ever added to a sum or taken from it, so a row that is late, repeated or erased is no
special case: its minute is marked. Marks are only inserted, so writers never wait for each other.
A row is known by its id and its time; those that come again count once.

An hour closes when its end and its last building are older than CODERAPI_STATS_RAW_RETENTION. Then
its raw rows are dropped and its rollups stay; later rows of it are refused. So a month of old rows
can be imported at once, is rolled up, gets snapshots (`backfill`), and is dropped a day later.

The rooms: `ingest` (rows on their way in), `rollups` (hours, the builder), `history` (points,
charts). `figures` reads a window, `services` take snapshots, `jobs` says when.

What it does not do yet: tell a row that comes again with another time (coderd makes ids at random,
and nothing but a look into every hour would find it), nor rows of closed hours (that would need
sums that can be added to), nor the states that workspaces had before they were first reported.
"""
