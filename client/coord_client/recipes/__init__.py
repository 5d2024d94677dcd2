"""Recipes: what people build from znodes, one file each. They know a `Client`, and nothing of the wire."""
