"""The open-model ecosystem: what exists, what its names and licences say, and how much it is used and built upon.

Today a snapshot that ships with insource; the ecosystem's own data (sources, lineage, DuckDB) will stand behind the
same port, `core.ports.Catalogue`.
"""
