"""The admin HTTP API under `/admin/v1`: a face over the operations, which decide and act. Here is what HTTP adds."""
