"""One file for each kind of URL: from a call to a response."""
