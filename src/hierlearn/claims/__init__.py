"""Claims as data, and their verdicts: computed from records, for any experiment."""
