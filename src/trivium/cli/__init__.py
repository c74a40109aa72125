"""The command line: thin faces over `operations`, `server` and `mock`."""

import signal
import sys

if sys.argv[1:2] == ["up"]:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # before all else is imported, which takes half a second
