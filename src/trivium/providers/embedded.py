"""Where the embedded model's answers end: it continues texts, and would ask itself the next question. The model's own
process imports this, and nothing else of the package."""

STOPS = ("\n\nQuestion:", "\nQuestion:")
