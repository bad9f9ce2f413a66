"""Counts rejected requests, and moves the window of groups.

Rejected requests (`rejections`) add to counts in memory, and a thread writes the counts a few
seconds later (`counts`). `windows` counts the reports of each group again after midnight.
"""
