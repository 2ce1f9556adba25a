"""Judges how objects do, by kstatus's rules and Kubernetes' own conditions. Pure."""

from reconciler.health.assess import assess, report

__all__ = ["assess", "report"]
