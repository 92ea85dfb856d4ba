"""Speed beside the peers, as ratios within one run: `make bench`. See docs/performance.md.

Read in this order: `echo.c` and `echo.py` (the work, the same for everyone), `contestants.py` (who does it, and how),
`measure.py` (what "a time" is), `rows.py` (what is compared with what, and the goals), `report.py`, `__main__.py`.
"""
