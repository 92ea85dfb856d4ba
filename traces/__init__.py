"""What happened: one trace from the event that came in to the last thing an extension did because of it.

`names` is the table of everything that can appear in a trace, `context` the line of text that carries a trace across
a mailbox or a socket, `tracing` the one place where spans are recorded. `configure` reads the standard `OTEL_*`
environment variables, `delivery` gets spans out without ever disturbing the program, and `recorder` with `tree` shows
them in a terminal without any collector.

This module imports nothing: the OpenTelemetry API alone takes longer to import than a short command takes to run.
"""
