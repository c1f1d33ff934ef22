"""Alloys and crystals: compositions, tables, features."""
