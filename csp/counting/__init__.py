"""Counts reports of other types and rejected requests, and moves the window of groups.

Reports of other types (`other_reports`) and rejected requests (`rejections`) are not stored. They
add to counts in memory, and a thread writes the counts a few seconds later (`counts`). `windows`
counts the reports of each group again after midnight.
"""
