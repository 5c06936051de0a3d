"""A request's way: parse, facts, decide, answer, record, watch moves."""
