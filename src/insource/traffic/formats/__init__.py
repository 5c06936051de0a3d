"""The formats of other tools' logs: what a record of each looks like, and the call to a model that it tells of."""
