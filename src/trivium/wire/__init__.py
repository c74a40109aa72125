"""Bytes and JSON of the three APIs to and from canonical values. Sans-IO: nothing here awaits or looks at a clock."""
