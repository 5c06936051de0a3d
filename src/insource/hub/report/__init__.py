"""The figures of the published reports on the Hub, each with its definition, data needs and the published number."""
