"""The exit codes of every command.

0  done            1  refused, or the thing itself failed        2  wrong usage, or a file that cannot be read
130  stopped by Ctrl-C
"""

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
