"""The worker: proposes, trains, records, next."""
