"""Turns a checkout into manifests: plain folders, Kustomize, Helm. Go code runs in a helper process, never in ours."""

from reconciler.render.helper_process import RenderLimits
from reconciler.render.renderer import Renderer, capabilities_of

__all__ = ["RenderLimits", "Renderer", "capabilities_of"]
