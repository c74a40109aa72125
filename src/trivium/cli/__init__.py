"""The command line: thin faces over `operations`, `server` and `mock`."""
