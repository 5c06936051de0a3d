"""Pure mathematics. Every formula names its source; nothing here knows of models or traffic."""
