"""Authentication, allowed origins and rate limits. All of it is checked before a request's body is read."""
