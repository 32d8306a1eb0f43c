"""For authors of plugins: the contract that every model is held to, and joints whose every answer is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genprob.testing.contract import Report as Report
    from genprob.testing.contract import check as check
    from genprob.testing.reference import ReferenceJoint as ReferenceJoint
    from genprob.testing.registry import references as references

__all__ = ["ReferenceJoint", "Report", "check", "references"]


def __getattr__(name: str) -> Any:
    """The public names, imported on first use."""
    if name == "ReferenceJoint":
        from genprob.testing.reference import ReferenceJoint

        return ReferenceJoint
    if name == "references":
        from genprob.testing.registry import references

        return references
    if name in ("Report", "check"):
        from genprob.testing import contract

        return getattr(contract, name)
    raise AttributeError(f"module 'genprob.testing' has no attribute {name!r}")
