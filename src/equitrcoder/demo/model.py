"""The demo's scripted model: rules that look at what the tools answered. No AI is in it.

It knows one kind of bug, and nothing of this very repository: which files to open, what to change, whether the change
helped and what to say in the end, it takes from the results of its calls.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from equitrcoder.demo.workspace import CHECK
from equitrcoder.testing.script import Answer, Call, ReceivedRequest, ScriptFunction, plain_text

TASK = "One of the tests fails. Find out why and make it pass."

_FAILING = re.compile(r"^(?:FAIL|ERROR): (\w+) \((?:\w+\.)*?(test_\w+?)\.", re.MULTILINE)
_IMPORTED = re.compile(r"^from (\w+(?:\.\w+)+) import ", re.MULTILINE)
_NAMED_PAGE = re.compile(r"\bdocs/[\w/-]+\.md\b")
_LINE_NUMBERS = re.compile(r"^ *\d+(?:\t|→|: |\| )", re.MULTILINE)
_LOSSY_SPLIT = re.compile(r"^( *)(\w+) = (\w+) // (\w+)\n *return \[\2\] \* \4\n", re.MULTILINE)
_EXACT_SPLIT = """\
{indent}{share}, left_over = divmod({amount}, {people})
{indent}return [{share} + 1] * left_over + [{share}] * ({people} - left_over)
"""


class Done(NamedTuple):
    """A call of an earlier answer, and what the tool said."""

    tool: str
    arguments: dict[str, Any]
    result: str


def script() -> ScriptFunction:
    """The script of the demo, for `ScriptedProvider`."""
    return answer


def answer(request: ReceivedRequest) -> Answer:
    """What the model says next; a function of the conversation alone."""
    done = calls_so_far(request.messages)
    runs = [call.result for call in done if call.tool == "run_command"]
    if not runs:
        return _look()
    if any(call.tool == "edit_file" for call in done):
        return _test_again() if done[-1].tool == "edit_file" else _conclude(done, runs[-1])
    failing = _FAILING.search(runs[0])
    if failing is None:
        return _nothing_to_mend(runs[0])
    return _mend(failing[1], f"tests/{failing[2]}.py", files_read(done))


def calls_so_far(messages: Sequence[dict[str, Any]]) -> list[Done]:
    """The calls of a conversation with their results, in the order of the results."""
    asked: dict[str, tuple[str, dict[str, Any]]] = {}
    done: list[Done] = []
    for message in messages:
        for call in message.get("tool_calls") or []:
            asked[call["id"]] = call["function"]["name"], json.loads(call["function"]["arguments"])
        if message.get("role") == "tool":
            name, arguments = asked[message["tool_call_id"]]
            done.append(Done(name, arguments, plain_text(message.get("content"))))
    return done


def files_read(done: Sequence[Done]) -> dict[str, str]:
    """What `read_file` said, by path, without a column of line numbers."""
    return {
        call.arguments["file_path"]: _LINE_NUMBERS.sub("", call.result) for call in done if call.tool == "read_file"
    }


def passed(printed: str) -> bool:
    """Whether unittest says that all tests passed.

    Example:
        >>> passed("Ran 2 tests in 0.001s\\n\\nOK\\n"), passed("FAILED (failures=1)"), passed("command denied")
        (True, False, False)
    """
    return re.search(r"^OK\b", printed, re.MULTILINE) is not None and "FAILED (" not in printed


def _look() -> Answer:
    return Answer(
        text="I look at the repository and run its tests.",
        calls=[Call("list_directory", {"path": "."}), Call("read_file", {"file_path": "README.md"}), _run_tests()],
    )


def _run_tests() -> Call:
    return Call("run_command", {"command": CHECK})


def _nothing_to_mend(printed: str) -> Answer:
    if passed(printed):
        return Answer(text="All tests pass already; I changed nothing.")
    return Answer(text=f"FAILED: the tests could not be run: {_first_line(printed)}")


def _mend(test: str, test_file: str, files: dict[str, str]) -> Answer:
    if test_file not in files:
        pages = _NAMED_PAGE.findall(files.get("README.md", ""))
        reads = [Call("read_file", {"file_path": path}) for path in (test_file, *pages)]
        return Answer(text=f"{test} fails. I read it, and what the README names on the subject.", calls=reads)
    imported = _IMPORTED.search(files[test_file])
    if imported is None:
        return Answer(text=f"FAILED: {test_file} does not say what it tests: {_first_line(files[test_file])}")
    source = imported[1].replace(".", "/") + ".py"
    if source not in files:
        return Answer(text=f"The code under test is in {source}.", calls=[Call("read_file", {"file_path": source})])
    return _edit(source, files[source])


def _edit(source: str, text: str) -> Answer:
    lossy = _LOSSY_SPLIT.search(text)
    if lossy is None:
        return Answer(text=f"FAILED: {source} holds no bug of the kind that this scripted model knows.")
    indent, share, amount, people = lossy.groups()
    mended = _EXACT_SPLIT.format(indent=indent, share=share, amount=amount, people=people)
    return Answer(
        text=f"{amount} // {people} drops what is left over, so cents get lost. I hand them out one by one.",
        calls=[Call("edit_file", {"file_path": source, "old_text": lossy[0], "new_text": mended})],
    )


def _test_again() -> Answer:
    return Answer(text="Now the tests again.", calls=[_run_tests(), Call("git_diff")])


def _conclude(done: Sequence[Done], printed: str) -> Answer:
    edit = next(call for call in done if call.tool == "edit_file")
    if not passed(printed):
        failing = _FAILING.search(printed)
        why = f"{failing[1]} still fails" if failing else _first_line(printed)
        return Answer(text=f"FAILED: {why}. My change of {edit.arguments['file_path']}: {_first_line(edit.result)}")
    said = f"Fixed {edit.arguments['file_path']}: odd cents are shared out and no longer lost. All tests pass."
    absent = [path for path, text in files_read(done).items() if path.startswith("docs/") and _is_absent(text)]
    return Answer(text=said + "".join(f" README.md names {path}, which is not there." for path in absent))


def _is_absent(result: str) -> bool:
    return re.search(r"not[ _]found|no such file|does not exist|no file", result, re.IGNORECASE) is not None


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "(nothing)")[:200]
