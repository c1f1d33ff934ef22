"""Alloys: formulas and compositions, features, tables of reports, tensors."""
