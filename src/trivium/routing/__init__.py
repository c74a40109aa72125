"""From the model name in a request to the provider that answers it. Pure functions over snapshots."""
