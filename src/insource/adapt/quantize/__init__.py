"""Making a model file smaller: which type each tensor gets, the conversion itself, and what it changed."""
