"""Contract suites and sources that count, for tests of Ziggurat and of what plugs into it."""
