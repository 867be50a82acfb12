"""The `genconvnet` commands for administration. Those that run the service are in api/cli.py."""
