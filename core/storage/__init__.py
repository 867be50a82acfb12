"""Database rows and stored files. Imports no torch."""
