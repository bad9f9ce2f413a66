"""The pages that belong to no app: the site of the admin, and the checklist on its first page.

`middleware` and `content_policy` are for all HTML pages. Requests to the API skip them.
"""
