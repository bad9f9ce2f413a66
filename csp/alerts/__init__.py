"""Alerts about violation groups: by webhook, in the form of Slack or Teams, or by e-mail.

An alert is sent when a new group reaches the number of clients of its channel, and when a resolved
group has a new report. It is never sent for a single report. `messages` builds the messages.
`deliveries` decides what to send, and sends it: each alert is a row, so a restart loses none.
"""
