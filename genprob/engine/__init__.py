"""The inference engine: moves over named blocks of state."""
