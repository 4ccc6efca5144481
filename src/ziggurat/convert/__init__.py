"""A job: manifest to plan to run to report, with a ledger that decides what is done."""
