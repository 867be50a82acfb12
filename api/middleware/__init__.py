"""ASGI middlewares that apply to every request and depend on neither keys nor uploads."""
