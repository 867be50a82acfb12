"""What may end a job's work, beyond what its lease says."""


class Diverged(ArithmeticError):
    """The arithmetic ran away to what is no number; the same job would end so again."""
