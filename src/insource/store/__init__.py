"""Tables, migrations and the batching writer: the only folder that touches a database driver."""
