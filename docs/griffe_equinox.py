"""Shows the constructors of equinox modules in the API reference.

An `equinox.Module` is a dataclass without the decorator, so a static reader of the
source finds no `__init__`. This extension writes one from the fields. Abstract classes
get none: nobody calls them.
"""

from typing import Any

import griffe

MODULE = "equinox.Module"
FIELD = "equinox.field"
ABSTRACT = ("equinox.AbstractVar", "equinox.AbstractClassVar")
NOT_FIELDS = (*ABSTRACT, "typing.ClassVar")


class EquinoxExtension(griffe.Extension):
    """Adds `__init__` to every concrete class that inherits from `equinox.Module`."""

    def on_package(self, *, pkg: griffe.Module, **kwargs: Any) -> None:
        silent = [c for c in _classes(pkg) if "__init__" not in c.members]
        # All are made before one is set: a made one must not pass for a written one.
        concrete = [c for c in silent if _is_equinox(c) and not _is_abstract(c)]
        made = {class_: _init(class_) for class_ in concrete}
        for class_, init in made.items():
            class_.set_member("__init__", init)


def _classes(parent: griffe.Module | griffe.Class) -> list[griffe.Class]:
    found = []
    for member in parent.members.values():
        if member.is_alias:
            continue
        if member.is_class:
            found.append(member)
        if member.is_class or member.is_module:
            found.extend(_classes(member))
    return found


def _family(class_: griffe.Class) -> list[griffe.Class]:
    """The class and those of its ancestors that this package defines, eldest first."""
    return [*reversed(class_.mro()), class_]


def _is_equinox(class_: griffe.Class) -> bool:
    bases = [base for member in _family(class_) for base in member.bases]
    return any(getattr(base, "canonical_path", base) == MODULE for base in bases)


def _is_abstract(class_: griffe.Class) -> bool:
    """Whether the class itself leaves a field or a method open."""
    own = [member for member in class_.members.values() if not member.is_alias]
    return any(
        "abstractmethod" in member.labels or _annotation(member) in ABSTRACT
        for member in own
    )


def _init(class_: griffe.Class) -> griffe.Function:
    """The constructor: a written one of an ancestor, else one from the fields."""
    ancestors = reversed(_family(class_))
    written = [c.members["__init__"] for c in ancestors if "__init__" in c.members]
    if written:
        parameters = list(written[0].parameters)
    else:
        fields = {
            member.name: member
            for parent in _family(class_)
            for member in parent.members.values()
            if _is_field(member)
        }
        parameters = [_parameter("self", None, None)] + [
            _parameter(name, field.annotation, _default(field))
            for name, field in fields.items()
        ]
    return griffe.Function(
        "__init__",
        parent=class_,
        parameters=griffe.Parameters(*parameters),
        lineno=0,
        endlineno=0,
    )


def _is_field(member: Any) -> bool:
    if member.is_alias or not member.is_attribute or member.annotation is None:
        return False
    return "property" not in member.labels and _annotation(member) not in NOT_FIELDS


def _annotation(member: Any) -> str:
    """Path of what a field is annotated with, without what stands in brackets."""
    return getattr(getattr(member, "annotation", None), "canonical_path", "")


def _default(field: griffe.Attribute) -> Any:
    """What stands behind the equals sign, or the default inside `eqx.field(...)`."""
    value = field.value
    if isinstance(value, griffe.ExprCall) and value.canonical_path == FIELD:
        named = {getattr(a, "name", ""): a.value for a in value.arguments}
        return named.get("default")
    return value


def _parameter(name: str, annotation: Any, default: Any) -> griffe.Parameter:
    return griffe.Parameter(
        name,
        annotation=annotation,
        kind=griffe.ParameterKind.positional_or_keyword,
        default=default,
    )
