"""Alerts for operators: by webhook, in the form of Slack, Teams or ntfy, or by e-mail.

Each app registers the sources of its alerts in its module `alerts` (`sources`). `kinds` is the
table of all kinds of alerts. A channel is a receiver; it chooses kinds, sites and the least
severity.

The job `send_alerts` runs every 15 seconds. `recording` asks the sources what is due, and writes
one row for each event and channel, so a restart loses no alert. It also decides which messages to
make of these rows: one for each alert, or one that lists many. `messages` builds the messages, and
`sending` sends them, all channels side by side.

Unless the channel's number of clients is 1, no alert is sent for a single report of a browser. No
alert is sent twice for the same event. Alerts that are no longer true before they are sent are
dropped.
"""
