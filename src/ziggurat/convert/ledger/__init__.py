"""The job's record: one SQLite file, a row per image, written by the coordinator alone.

The tables are a public contract, described in ``docs/ledger.md``; anybody may read them with plain SQLite.
"""
