"""One file per verb: parse, call a workflow, print through the one output sink."""
