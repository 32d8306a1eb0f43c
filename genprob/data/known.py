"""What is known of the variables before the data are read: a whole schema, statements on some of them, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from genprob.data.schema import Schema, Variable
from genprob.data.schema_file import read_schema
from genprob.data.statement import Statement
from genprob.data.support import Categorical


@dataclass(frozen=True)
class Known:
    """Either `schema`, which then names all variables that matter, or `stated`."""

    schema: Schema | None = None
    stated: Mapping[str, Statement] = field(default_factory=dict)

    @classmethod
    def of(cls, schema: Any) -> Known:
        """From what callers pass as `schema=`: None, a `Schema`, a file, a partial mapping."""
        if schema is None:
            return cls()
        read = read_schema(schema)
        return cls(schema=read) if isinstance(read, Schema) else cls(stated=read)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Variables that must be among the data: the modelled ones of a schema, all that a statement is made on."""
        return tuple(self.stated) if self.schema is None else self.schema.modelled.names

    @property
    def sample_dim(self) -> str | None:
        return None if self.schema is None else self.schema.sample_dim

    def ignored(self, name: str) -> bool:
        """True for variables that nobody will look at."""
        if self.schema is None:
            return name in self.stated and self.stated[name].ignored
        return name in self.schema and self.schema[name].role == "ignored"

    def variable(self, name: str) -> Variable | None:
        """The variable as far as it is known; None if its support is not, or if it is ignored."""
        if self.ignored(name):
            return None
        if self.schema is not None:
            return next((v for v in self.schema if v.name == name), None)
        said = self.stated.get(name)
        if said is None or said.support is None:
            return None
        return Variable(name, said.support, said.measure, unit=said.unit)

    def levels(self, name: str) -> tuple[str, ...] | None:
        """Levels of a variable that may hold any strings: a category (empty if not stated), or what nobody will see."""
        variable = self.variable(name)
        if variable is None:
            unseen = self.ignored(name) or (self.schema is not None and name not in self.schema)
            return () if unseen else None
        return variable.support.levels if isinstance(variable.support, Categorical) else None

    def labelled(self, name: str) -> bool:
        """True where strings among numbers are no slip of the pen."""
        return self.levels(name) is not None
