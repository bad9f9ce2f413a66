"""Collects what browsers report about violations of a Content-Security-Policy.

A report takes one way: `collection` checks who sends it (`access`), `parsing` reads whichever form
the browser has, `scrubbing` cuts out everything private, and `writing` finds its group, asks
`noise` for a rule that matches, and commits it. Only then is the request answered. `importing`
takes files of reports the same way. The rooms know only those before them in this list:

    access      ingest keys, the origins that they are for, and who else may report
    parsing     the four forms, and JSON as browsers really send it
    scrubbing   secrets, names and queries cut out of every text, and the audit that looks again
    noise       rules for what no site can cause, some of them shipped, for new and stored reports
    writing     grouping, reach, and the one thread that commits many requests' reports together
    importing   files of JSON lines: each report counts once

Three choices explain most of the code. Nothing private is ever written, so every text is scrubbed
before it leaves the request's thread. A flood costs little: counts are exact, but only a sample of
a busy group's reports is kept. And acknowledged means committed, so a batch has an id by which it
is found again when the connection breaks during its commit.

Not done yet: no alarm tells of a new group, as nobody has said what should be told to whom, and no
policy is suggested, as reports alone do not show what a site means to allow.
"""
