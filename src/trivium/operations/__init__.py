"""What an operator can do: one function each, whichever face asks (command line, admin API, pages)."""
