"""The dashboard: pages over `operations`, rendered in a process of their own (docs/dashboard.md)."""
