"""What planning must know of a family of a person's own beside its sizes."""

from __future__ import annotations

from typing import Any

from orchestrator.errors import BadInput
from workers.families.own.family import Family


def family_facts(family: type[Family]) -> dict[str, Any]:
    """Return what planning must know of a family before any of its models is asked for.

    Raises
    ------
    BadInput
        If it lacks what every family needs.
    """
    for needed in ("sizes", "build"):
        if not family.gives(needed):
            raise BadInput(f"the family {family.name!r} has no {needed}(): sizes() and build(dims) are what it takes")
    return {
        "options": {
            name: {
                "description": field.description,
                "required": field.is_required(),
                "default": None if field.is_required() else field.get_default(call_default_factory=True),
            }
            for name, field in family.Options.model_fields.items()
        },
        "defaults": {key: dict(values) for key, values in family.defaults.items()},
        "head": family.head,
        "own_loss": family.gives("loss"),
    }
