"""Judge cases with BFCL's official AST checker; run as a program of its own by the differential test.

Arguments: the directory that holds the package `bfcl_eval`, the directory of the entries in BFCL's files, a JSON lines
file of cases `[category, id, calls]` with calls as `{name: arguments}`, and the file to write verdicts to, one a line:
`true`, `false`, or the exception's type.

The checker imports `bfcl_eval.constants.model_config`, which imports the client of every API it knows. It reads one
thing from there: whether a model's name maps to a config that turns dots in function names into underscores. A stand-in
with that one mapping takes the module's place, saying no, as for every model that is prompted with the names as they
are. The checker itself and all else that it imports are the package's own.
"""

import json
import sys
import types
from pathlib import Path

package_root, data, cases_file, verdicts_file = (Path(argument) for argument in sys.argv[1:])
MODEL = "prompted"
stand_in = types.ModuleType("bfcl_eval.constants.model_config")
vars(stand_in)["MODEL_CONFIG_MAPPING"] = {MODEL: types.SimpleNamespace(underscore_to_dot=False)}
sys.modules[stand_in.__name__] = stand_in
sys.path.insert(0, str(package_root))

from bfcl_eval.constants.enums import Language  # noqa: E402
from bfcl_eval.eval_checker.ast_eval.ast_checker import ast_checker  # noqa: E402


def main():
    entries = {}
    with cases_file.open() as cases, verdicts_file.open("w") as verdicts:
        for line in cases:
            category, identity, calls = json.loads(line, object_hook=restore_tuple)
            if category not in entries:
                entries[category] = read_entries(category)
            functions, answers = entries[category][identity]
            try:
                result = ast_checker(functions, calls, answers, Language.PYTHON, category, MODEL)["valid"]
            except Exception as error:
                result = type(error).__name__
            verdicts.write(json.dumps(result) + "\n")


def read_entries(category):
    """Functions and possible answers by id, read without the code under test."""
    questions, answers = (
        [json.loads(line) for line in (directory / f"BFCL_v4_{category}.json").open()]
        for directory in (data, data / "possible_answer")
    )
    truth = {answer["id"]: answer["ground_truth"] for answer in answers}
    return {question["id"]: (question["function"], truth[question["id"]]) for question in questions}


def restore_tuple(value):
    return tuple(value["__tuple__"]) if "__tuple__" in value else value


if __name__ == "__main__":
    main()
