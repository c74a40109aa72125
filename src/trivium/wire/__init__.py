"""The three APIs on the wire: bytes and dicts to and from canonical values. Pure; nothing here awaits."""
