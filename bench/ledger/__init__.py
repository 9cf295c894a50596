"""What reading a large ledger costs: `python -m bench.ledger --calls 10_000_000`."""
