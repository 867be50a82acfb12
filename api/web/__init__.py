"""The web page: static files without a build step; it loads nothing from other hosts."""
