"""The public names of a package's mx.io, mx.image and mx.recordio, with their parameters.

`python signatures.py OUT` writes those of MXNet 1.9.1; tests/data/mxnet_signatures.json is such a
file. A signature is a list of texts, ``"name"``, ``"name=default"``, ``"*name"``, ``"**name"``;
a class is a dict of its constructor's, under ``""``, and its public methods'.
"""

import inspect
import json
import sys

MODULES = ("io", "image", "image.detection", "recordio")


def texts(function):
    """Return a signature without its annotations."""
    found = []
    for p in inspect.signature(function).parameters.values():
        name = {p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "") + p.name
        found.append(name if p.default is p.empty else "{}={!r}".format(name, p.default))  # noqa: UP032
    return found


def methods(cls):
    """Yield (name, function) of what a class's users may call or override."""
    for name in dir(cls):
        member = inspect.getattr_static(cls, name)
        member = member.__func__ if isinstance(member, staticmethod) else member
        if not name.startswith("_") and inspect.isfunction(member):
            yield name, member


def signatures(package):
    """Return {module: {name: signature or class}} of the names that are the module's own."""
    found = {}
    for path in MODULES:
        module = package
        for part in path.split("."):
            module = getattr(module, part)
        names = found[path] = {}
        for name in dir(module):
            value = getattr(module, name)
            home = getattr(value, "__module__", None) or ""
            if name.startswith("_") or not home.startswith(module.__name__):
                continue
            if inspect.isclass(value):
                names[name] = {"": texts(value)}
                names[name].update((key, texts(one)) for key, one in methods(value))
            elif callable(value):
                names[name] = texts(value)
    return found


def page(found):
    """Return JSON with one line a signature."""
    lines = []
    for module, names in sorted(found.items()):
        lines.append("{}: {{".format(json.dumps(module)))  # noqa: UP032
        for name, value in sorted(names.items()):
            nested = isinstance(value, dict)
            lines.append(" {}: {}".format(json.dumps(name), "{" if nested else json.dumps(value)))
            if nested:
                parts = sorted(value.items())
                lines += ["  {}: {}".format(*map(json.dumps, part)) for part in parts]
                lines.append(" }")
        lines.append("}")
    text = "\n".join(
        line if line.endswith("{") or after in ("}", " }") else line + ","
        for line, after in zip(lines, [*lines[1:], "}"])  # noqa: B905
    )
    return "{" + text + "}\n"


def main():
    import numpy as np

    if not hasattr(np, "bool"):
        np.bool = bool  # MXNet 1.9.1 names the alias that NumPy 1.24 dropped
    import mxnet

    with open(sys.argv[1], "w") as file:
        file.write(page(signatures(mxnet)))


if __name__ == "__main__":
    main()
