"""What is said, whichever API says it: frozen values, no behaviour beyond arithmetic."""
