"""`genconvnet serve`: runs the whole service on one machine, as child processes of a supervisor."""
