"""The hub: what was reconstructed, as Parquet tables with a manifest."""
