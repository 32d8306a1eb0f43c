"""For authors of plugins: joints whose every answer is known, to test a model and its queries against."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genprob.testing.joint import ReferenceJoint as ReferenceJoint
    from genprob.testing.registry import references as references

__all__ = ["ReferenceJoint", "references"]


def __getattr__(name: str) -> Any:
    """The public names, imported on first use."""
    if name == "ReferenceJoint":
        from genprob.testing.joint import ReferenceJoint

        return ReferenceJoint
    if name == "references":
        from genprob.testing.registry import references

        return references
    raise AttributeError(f"module 'genprob.testing' has no attribute {name!r}")
