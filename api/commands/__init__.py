"""Commands of `genconvnet` beside those that run its parts."""
