"""The sources of option values. Each gives its settings unread, its errors and its warnings."""
