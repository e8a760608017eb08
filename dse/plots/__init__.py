"""Figures of fronts and runs; imported only where something is drawn."""
