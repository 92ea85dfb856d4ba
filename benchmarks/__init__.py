"""Speed beside the peers, as ratios within one run, and promises kept under load: `make bench`. See docs/performance.md.

Read in this order: `echo.c` and `echo.py` (the work, the same for everyone), `measure.py` (what "a time" is), `ours.py`,
`peers.py` and `contestants.py` (who does it, and how), `floors.py` (what nobody can go below). `bus_work.py`, `bus_ours.py`,
`bus_peers.py`, `bus_parts.py` and `bus_field.py` are the same for the bus alone, without any guest. What is no matter of one call
is an experiment, in a process of its own (`alone.py`): `crowd.py`, `fairness.py`, `start.py`, `scaling.py`. `plan.py` says how
much is measured, `rows.py` what is compared with what, and the goals; `goals.py` what a goal is; `report.py`, `__main__.py`.
"""
