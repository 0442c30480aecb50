"""A mapping that names a plug-in and holds the plug-in's own keys beside ours (``data:``, ``model:``)."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field, ValidationError

from orchestrator.errors import BadInput
from orchestrator.spec.did_you_mean import suggestion
from orchestrator.spec.options import Options
from orchestrator.spec.registries import Registry
from orchestrator.spec.validation_errors import Complaint, complaints_of, unknown_keys


class PluginChoice(Options):
    """The base of :class:`~orchestrator.spec.sections.data.Data` and :class:`~orchestrator.spec.sections.model.Model`.

    In the YAML the plug-in's keys stand beside ours; here they are gathered in ``options``, validated by the
    plug-in's own ``Options`` class, defaults filled in.
    """

    registry: ClassVar[Registry]
    key: ClassVar[str]

    options: dict[str, Any] = Field(default_factory=dict)

    @classmethod
    def plugins(cls) -> list[str]:
        """Return every name that may stand here, sorted."""
        return cls.registry.names()

    @classmethod
    def options_class(cls, name: str) -> type[Options]:
        """Return the class of a plug-in's own YAML keys.

        Raises
        ------
        BadInput
            If there is no such plug-in.
        """
        options: type[Options] = cls.registry.load(name).Options
        return options

    @classmethod
    def arranged(cls, value: dict[str, Any]) -> tuple[dict[str, Any], list[Complaint]]:
        """Gather what isn't ours under ``options``, validated by the plug-in that the mapping names."""
        ours = [key for key in cls.model_fields if key != "options"]
        known = {key: given for key, given in value.items() if key in ours}
        rest = {key: given for key, given in value.items() if key not in ours}
        name = known.get(cls.key, cls.model_fields[cls.key].default)
        if name not in cls.plugins():  # the name is refused; its keys can't be judged
            return known, []
        try:
            plugin = cls.options_class(name)
        except BadInput as error:
            return known, [Complaint((cls.key,), str(error))]
        keys = [*ours, *plugin.model_fields]
        found = unknown_keys(
            [key for key in rest if key not in plugin.model_fields],
            lambda key: suggestion(key, keys, f"with {name} the keys are"),
        )
        try:
            options = plugin.model_validate({key: given for key, given in rest.items() if key in plugin.model_fields})
        except ValidationError as error:
            return known, found + complaints_of(error)
        return {**known, "options": options.model_dump(mode="json")}, found

    @classmethod
    def known_name(cls, name: str) -> str:
        """Return the name of a plug-in.

        Raises
        ------
        ValueError
            If there is none; the message suggests the nearest.
        """
        if name not in cls.plugins():
            raise ValueError(f"unknown {cls.registry.kind} {name[:40]!r}; {suggestion(name, cls.plugins())}")
        return name

    def flat(self) -> dict[str, Any]:
        """Return the mapping as the YAML has it, defaults filled in."""
        ours = self.model_dump(mode="json", exclude={"options"})
        return {**self.options, **ours}
