"""YAML syntax errors in plain words."""

from __future__ import annotations

from orchestrator.spec.yaml.key_path import KeyPath, quoted, shown

_FAULTS = (
    ("nesting depth", "nested deeper than 32 levels", "a sweep needs no more than eight"),
    ("mapping values are not allowed", "a ':' where no key can stand", "check the indentation, or quote the text"),
    ("control characters are not allowed", "a control character", "remove it, or save the file as UTF-8 text"),
    ("special characters are not allowed", "a control character", "remove it, or save the file as UTF-8 text"),
    ("cannot start any token", "a character that no value begins with", "quote the text"),
    ("',' or ']'", "a list that isn't closed", "add the missing ',' or ']'"),
    ("',' or '}'", "a mapping that isn't closed", "add the missing ',' or '}'"),
    ("expected key", "neither a key nor the end of the mapping", "check the indentation, quotes and brackets"),
    ("expected ':'", "a line without ':'", "write `key: value`"),
    ("<block end>", "text where the mapping or list should go on", "check the indentation, quotes and brackets"),
    ("'-' indicator", "text where the list should go on", "check the indentation, or begin the line with '-'"),
    ("block sequence entries", "a '-' where no list can stand", "put the list on the next line, indented"),
    ("unexpected end of stream", "a quoted text that isn't closed", "add the missing quote"),
    ("unexpected document indicator", "a quoted text that isn't closed", "add the missing quote"),
    ("document start", "more after the end of the document", "keep one sweep in a file"),
    ("escape", "an unknown escape in a quoted text", "write \\\\ for a backslash, or use single quotes"),
    ("node content", "a bracket or comma where a value should be", "add the value, or remove what is too much"),
    ("incompatible YAML", "another version of YAML", "remove the %YAML line"),
    ("undefined tag handle", "a tag", "remove it (quotes make a value text)"),
    ("duplicate anchor", "an anchor given twice", "write the values out"),
)


def fault(error: Exception, text: str, name: str, path: KeyPath) -> str:
    """Return the one-line message for a parser's error: place, the key being read, what is wrong, the likely fix."""
    mark = getattr(error, "problem_mark", None)
    problem = str(getattr(error, "problem", None) or getattr(error, "reason", None) or error)
    if mark is not None:
        line = mark.line + 1
    else:
        position = getattr(error, "position", 0)
        line = text.count("\n", 0, position if isinstance(position, int) else 0) + 1
    place = f"{name}:{line}: {shown(path)}: " if path else f"{name}:{line}: "
    for sign, what, fix in _FAULTS:
        if sign in problem:
            return f"{place}{what}; {fix}"
    return f"{place}not valid YAML ({quoted(problem, 80)}); check quotes, brackets and indentation near there"
