"""What can go wrong with tracing. A file of its own, and without imports: a command that does not trace can catch it."""


class TracingMisconfigured(ValueError):
    """An `OTEL_*` variable asks for what we cannot do. Whoever set it can repair it: the text says how.

    No `DeskError`: those begin in the bus, which is built upon tracing.
    """
