"""Takes in files of reports, each line a body as a browser sends it.

`items` reads what stands in a line, `files` commits line by line what no earlier run has committed.
"""
