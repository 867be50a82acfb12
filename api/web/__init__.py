"""The web page: static files, no build step, nothing fetched from elsewhere."""
