"""One module a page: what it shows, from the workflows, the registry and the log's figures."""
