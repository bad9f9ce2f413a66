"""The pages that belong to no app: the site of the admin, and the checklist on its first page."""
