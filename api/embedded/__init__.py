"""`genconvnet serve`: the whole service on one machine, as child processes of one supervisor."""
