"""Stored files as clients get them: their names, thumbnails, deletion, and the space that is left."""
