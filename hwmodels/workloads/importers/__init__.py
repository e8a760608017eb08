"""Workloads from files of other tools."""
