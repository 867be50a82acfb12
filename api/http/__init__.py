"""What the routes of every noun share: the Idempotency-Key, pages of lists, public urls, the OpenAPI document."""
