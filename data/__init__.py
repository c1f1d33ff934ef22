"""The packaged tables: alloys, reports on them, elements and pairs of elements (see README.md)."""
