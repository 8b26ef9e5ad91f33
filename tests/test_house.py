"""The house as it is drawn: what each wing, and each file of the root, may know; and no circle."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import tfae

PLAN = {
    "host": "",
    "errors": "",
    "nn": "errors host",
    "config": "errors nn",
    "data": "errors host nn",
    "kernels": "errors host nn",
    "programs": "kernels",
    "engines": "errors host nn kernels",
    "keras_bridge": "config data engines errors host nn programs",
    "autoencoder": "engines keras_bridge nn",
    "training": "engines errors host nn",
    "runs": "autoencoder config data engines errors host keras_bridge nn training",
    "train": "config data errors host nn runs",
    "__init__": "host",
    "__main__": "__init__ errors runs train",
}


def test_the_arrows_are_those_of_the_plan_and_files_make_no_circle():
    house, circles = Path(tfae.__file__).parent, TopologicalSorter()
    files = {file.relative_to(house).with_suffix("").parts: file for file in house.rglob("*.py")}
    for name, file in files.items():
        for node in ast.walk(ast.parse(file.read_text())):  # imports inside functions count, too
            if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "tfae":
                module = tuple(node.module.split(".")[1:])
                for part in node.names:
                    tried = (*module, part.name), module, (*module, "__init__")
                    known = next(path for path in tried if path in files)
                    circles.add(name, known)
                    assert known[0] in (name[0], *PLAN[name[0]].split()), (name, known)
    circles.prepare()  # raises CycleError, which shows one
