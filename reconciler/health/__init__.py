"""Judges how objects do, by kstatus's rules and Kubernetes' own conditions. Pure."""

from reconciler.health.assess import assess, is_told_by_metadata, report

__all__ = ["assess", "is_told_by_metadata", "report"]
