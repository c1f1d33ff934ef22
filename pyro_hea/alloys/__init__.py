"""Alloys from what a person writes to tensors: formulas, features, tables."""
