"""Collects reports of browsers about violations of a Content-Security-Policy.

Each report goes through the same steps. `collection` checks the sender (`access`), `parsing` reads
the browser's format, `scrubbing` removes private parts, and `writing` finds the group, applies the
rules of `noise`, and commits. Only then is the request answered. `importing` takes files of reports
through the same steps. Each room imports only from those above it:

    access      ingest keys, their origins, and which other senders may report
    parsing     the four formats, and tolerant JSON
    scrubbing   removal of secrets, names and queries, and the audit that checks stored texts
    noise       rules for reports that no site can cause, such as those about extensions
    writing     groups, reach, and the thread that commits the reports of many requests together
    importing   files of JSON lines, in which each report counts once

Three choices explain most of the code. Private data is never written, so the request's thread
scrubs every text. A flood is cheap: counts are exact, but only a sample of a busy group is stored,
and a caller can open only a limited number of groups per hour. An acknowledged report is committed:
a batch has an id, by which the writer finds it after a connection broke during the commit.

Not done yet: there is no alert for a new group, and no suggested policy, because reports alone do
not show what a site intends to allow.
"""
