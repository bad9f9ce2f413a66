"""Collects reports from browsers about violations of a Content-Security-Policy.

Each report goes through the same steps. `collection` checks the sender (`access`), `parsing` parses
the browser's format, `scrubbing` removes private data, `noise` finds the rule that matches, and
`writing` finds the group and commits. The response is sent after the commit. `importing` reads
files of reports and uses the same steps. Each package imports only from packages above it in this
list:

    access      ingest keys, their origins, and which other senders may report
    parsing     the four formats of browsers, and a parser for invalid JSON that browsers send
    scrubbing   removal of secrets, names and queries, and the search for secrets in stored reports
    noise       rules for reports that no site can cause, such as reports about browser extensions
    writing     groups, client days, and the thread that commits the reports of many requests
    counting    reports of other types, rejected requests, and the window of groups
    importing   files of JSON lines; an import can be repeated
    advice      the setting of Coder that would allow a blocked source, and its risk
    triage      the states of groups, comparisons of versions, and the API for operators
    admin       the pages of the admin

`directives` lists the directives of CSP, and `trusted_types` reads the reports about Trusted Types.

Three choices explain most of the code:

* Private data is never written. The thread that handles the request scrubs every string before it
  passes the report to the thread that writes.
* A flood of reports costs little. All reports are counted, but only a sample of a busy group is
  stored, and its clients and pages are estimated. A caller can open only a limited number of groups
  per hour.
* A report is committed before the response is sent. Each batch has an id. If the connection is lost
  during the commit, the writer looks up this id to find out whether the batch was committed.

`advice` does not suggest a whole policy, because reports do not show which sources a site intends
to allow.
"""
