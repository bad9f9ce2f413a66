"""Alerts about violation groups: by webhook, in the form of Slack or Teams, or by e-mail.

`events` decides what to send: it writes each alert as a row, so a restart loses none. An alert is
never sent for a single report. `messages` builds the messages, `deliveries` sends them, and
`channels` saves and tests the receivers.
"""
