"""Who may what: keys, where requests may come from, how many. All of it is settled before a body is read."""
