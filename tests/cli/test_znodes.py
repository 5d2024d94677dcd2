"""Commands that look at znodes and change them, against both kinds of servers, as scripts use them."""

import base64
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from coord.local.cluster import running
from coord.local.ports import free_ports
from tests.cli.commands import PATIENCE, Shell

pytestmark = pytest.mark.e2e


@pytest.fixture(params=["coord", "zookeeper"])
def shell(request: pytest.FixtureRequest) -> Shell:
    """One whose root is a fresh znode."""
    server = request.getfixturevalue(f"{request.param}_address")
    root = f"/cli-{os.urandom(8).hex()}"
    assert Shell(server).ask("create", root).code == 0
    return Shell(f"{server}{root}")


def test_a_value_comes_back_byte_for_byte(shell: Shell) -> None:
    value = bytes(range(256))

    created = shell.ask("create", "/a", "-", stdin=value)
    got = shell.ask("get", "/a")

    assert (created.code, created.text) == (0, "/a\n")
    assert (got.code, got.stdout, got.stderr) == (0, value, "")


def test_values_come_from_argument_file_or_stdin(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "value"
    file.write_bytes(b"from a file")
    shell.ask("create", "/a")

    for arguments, stdin, value in (
        (("an argument",), b"", b"an argument"),
        (("--file", str(file)), b"", b"from a file"),
        (("-",), b"from stdin", b"from stdin"),
        (("--", "-x"), b"", b"-x"),
    ):
        assert shell.ask("set", "/a", *arguments, stdin=stdin).code == 0
        assert shell.ask("get", "/a").stdout == value
    assert shell.ask("set", "/a").code == 2
    assert shell.ask("set", "/a", "x", "--file", str(file)).code == 2


def test_a_conditional_write_tells_by_its_exit_code_whether_it_won(shell: Shell) -> None:
    shell.ask("create", "/a", "0")

    first = shell.ask("set", "/a", "1", "--version", "0")
    second = shell.ask("set", "/a", "2", "--version", "0")

    assert (first.code, first.text) == (0, "1\n")
    assert second.code == 1
    assert "another version" in second.stderr
    assert second.stdout == b""
    assert shell.ask("get", "/a").text == "1"


def test_the_answer_no_is_exit_code_1(shell: Shell) -> None:
    shell.ask("create", "/a/b", "--parents")

    for arguments in (
        ("get", "/none"),
        ("stat", "/none"),
        ("ls", "/none"),
        ("tree", "/none"),
        ("set", "/none", "x"),
        ("rm", "/none"),
        ("acl", "get", "/none"),
        ("create", "/none/b"),
        ("create", "/a"),
        ("rm", "/a"),
        ("rm", "/a/b", "--version", "7"),
    ):
        ended = shell.ask(*arguments)
        assert (ended.code, ended.stdout) == (1, b""), arguments
        assert ended.stderr.startswith("Error: /"), arguments


def test_what_is_no_path_is_exit_code_2(shell: Shell) -> None:
    for path in ("a", "/a//b", "/a/../b"):
        assert shell.ask("get", path).code == 2


def test_no_server_is_exit_code_3_and_a_write_says_that_it_did_not_happen() -> None:
    shell = Shell(f"127.0.0.1:{free_ports(1)[0]}")

    read = shell.ask("get", "/a", "--timeout", "0.5")
    write = shell.ask("set", "/a", "x", "--timeout", "0.5")

    assert read.code == write.code == 3
    assert "no server reached in 0.5 s" in read.stderr
    assert "it did not happen" in write.stderr


def test_a_value_that_is_too_large_is_told_as_such(shell: Shell) -> None:
    """All that a server does about it is to close the connection."""
    refused = shell.ask("create", "/a", "-", stdin=bytes(2_000_000))

    assert refused.code == 3
    assert "2,000,000 bytes: servers take up to 1,048,575" in refused.stderr


def test_what_the_acl_forbids_is_exit_code_4(shell: Shell) -> None:
    shell.ask("create", "/a", "x", "--acl", "auth::cdrwa", "--auth", "digest:ann:secret")

    assert shell.ask("get", "/a").code == 4
    assert shell.ask("get", "/a", "--auth", "digest:ann:secret").text == "x"
    assert shell.ask("get", "/a", COORD_AUTH="digest:ann:secret").text == "x"


def test_an_acl_is_printed_as_it_is_given(shell: Shell) -> None:
    shell.ask("create", "/a")
    assert shell.ask("acl", "get", "/a").text == "world:anyone:cdrwa\n"

    assert shell.ask("acl", "set", "/a", "world:anyone:ra", "ip:127.0.0.1:cdrwa", "--version", "0").text == "1\n"

    assert shell.ask("acl", "get", "/a").lines == ["world:anyone:ra", "ip:127.0.0.1:cdrwa"]
    assert shell.ask("acl", "get", "/a", "--json").document["acl"] == [
        {"scheme": "world", "id": "anyone", "permissions": "ra"},
        {"scheme": "ip", "id": "127.0.0.1", "permissions": "cdrwa"},
    ]
    assert shell.ask("acl", "set", "/a", "world:anyone:r", "--version", "0").code == 1
    assert shell.ask("acl", "set", "/a", "world:anyone").code == 2


def test_create_numbers_makes_parents_and_refuses_ephemerals(shell: Shell) -> None:
    assert shell.ask("create", "/q/deep/", "--sequence", "--parents").text == "/q/deep/0000000000\n"
    assert shell.ask("create", "/q/deep/n-", "--sequence").text == "/q/deep/n-0000000001\n"

    refused = shell.ask("create", "/e", "--ephemeral")

    assert refused.code == 2
    assert "would end with this command" in refused.stderr


def test_json_of_each_command_tells_the_same_of_a_znode(shell: Shell) -> None:
    created = shell.ask("create", "/a", "text", "--json").document
    written = shell.ask("set", "/a", "-", "--json", stdin=b"\xff\x00").document
    got = shell.ask("get", "/a", "--json").document
    stat = shell.ask("stat", "/a", "--json").document
    (listed,) = shell.ask("ls", "/", "-l", "--json").document

    assert created["version"] == 0
    assert written == stat == {"path": "/a", **got["stat"]}
    assert listed.pop("name") == "a"
    assert listed == got["stat"]
    assert (got["encoding"], base64.b64decode(got["data"])) == ("base64", b"\xff\x00")
    assert stat["created"].endswith("Z")
    assert shell.ask("ls", "--json").document == ["a"]


def test_people_see_fields_explained_and_lists_in_order(shell: Shell) -> None:
    for name in ("c", "a", "b"):
        shell.ask("create", f"/x/{name}", "123", "--parents")

    assert shell.ask("ls", "/x").lines == ["a", "b", "c"]
    rows = [line.split() for line in shell.ask("ls", "-l", "/x").lines]
    assert [(row[0], row[1], row[-1]) for row in rows if row and row[-1] in "abc"] == [
        ("0", "3", "a"),
        ("0", "3", "b"),
        ("0", "3", "c"),
    ]
    assert "writes of the data" in shell.ask("stat", "/x/a").text


def test_tree_is_bounded_by_depth_and_number(shell: Shell) -> None:
    for path in ("/t/a/1", "/t/a/2", "/t/b/3"):
        shell.ask("create", path, "--parents")

    assert shell.ask("tree", "/t").lines == [
        "/t", "├── a", "│   ├── 1", "│   └── 2", "└── b", "    └── 3",
    ]  # fmt: skip
    assert shell.ask("tree", "/t", "--depth", "1").lines == [
        "/t", "├── a", "│   └── … 2 more", "└── b", "    └── … 1 more",
    ]  # fmt: skip
    assert shell.ask("tree", "/t", "--max", "2").lines == ["/t", "├── a", "│   └── … 2 more", "└── … 1 more"]
    root = shell.ask("tree", "/t", "--json").document
    assert [child["path"] for child in root["children"]] == ["/t/a", "/t/b"]


def test_rm_takes_whole_subtrees_if_told_so(shell: Shell) -> None:
    for path in ("/r/a/1", "/r/b", "/kept"):
        shell.ask("create", path, "--parents")

    assert shell.ask("rm", "-r", "/r").code == 2, "nobody can be asked, and nobody said yes"
    assert shell.ask("ls", "/r").lines == ["a", "b"]
    removed = shell.ask("rm", "-r", "--yes", "/r", "--json")

    assert removed.code == 0
    assert sorted(removed.document["removed"]) == ["/r", "/r/a", "/r/a/1", "/r/b"]
    assert shell.ask("ls").lines == ["kept"]
    assert shell.ask("rm", "/r").code == 1
    assert shell.ask("rm", "/r", "--force").code == 0
    assert shell.ask("rm", "-r", "--yes", "/").code == 2


def test_rm_asks_who_sits_at_a_terminal(shell: Shell) -> None:
    shell.ask("create", "/r/a", "--parents")
    for answer, code, left in (("n", 1, ["r"]), ("y", 0, [])):
        with shell.on_terminal("rm", "-r", "/r") as terminal:
            terminal.until_shown("Remove 2 znodes?")
            terminal.type(f"{answer}\n")

            assert terminal.wait() == code
        assert shell.ask("ls").lines == left


def test_get_shows_on_a_terminal_what_people_can_read(shell: Shell) -> None:
    shell.ask("create", "/text", "on")
    shell.ask("create", "/binary", "-", stdin=b"\xff\x1b")

    for path, shown in (("/text", "on\r\n"), ("/binary", "00000000  ff 1b")):
        with shell.on_terminal("get", path) as terminal:
            terminal.until_shown(shown)
            assert terminal.wait() == 0


@pytest.fixture
def watching(shell: Shell) -> Iterator[subprocess.Popen[bytes]]:
    with shell.start(
        "watch", "/w", "-r", "--json", stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
    ) as process:
        try:
            assert process.stderr is not None
            assert process.stderr.readline() == b"watching /w\n"
            yield process
        finally:
            process.kill()


def test_watch_prints_changes_until_it_is_interrupted(shell: Shell, watching: subprocess.Popen[bytes]) -> None:
    shell.ask("create", "/w/child", "--parents")
    shell.ask("set", "/w/child", "x")
    shell.ask("rm", "/w/child")

    events: list[dict[str, Any]] = []
    assert watching.stdout is not None
    for _ in range(4):
        events.append(json.loads(watching.stdout.readline()))

    assert [(event["type"], event["path"]) for event in events] == [
        ("CREATED", "/w"),
        ("CREATED", "/w/child"),
        ("DATA_CHANGED", "/w/child"),
        ("DELETED", "/w/child"),
    ]
    watching.send_signal(signal.SIGINT)
    assert watching.wait(PATIENCE) == 130


async def test_watch_tells_that_it_may_have_missed_something(tmp_path: Path) -> None:
    async with running(tmp_path, size=1) as cluster:
        shell = Shell(cluster.servers)
        with shell.start("watch", "/w", "-n", "2", stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stderr.readline() == b"watching /w\n"

            await cluster.kill(1)
            assert process.stderr.readline() == b"suspended: looking for a server\n"
            await cluster.start(1)

            gap = await trio.to_thread.run_sync(process.stdout.readline)
            assert gap.split()[1:] == [b"GAP", b"/w"]
            shell.coord("create", "/w")
            event = await trio.to_thread.run_sync(process.stdout.readline)
            assert event.split()[1:] == [b"CREATED", b"/w"]
            assert process.wait(PATIENCE) == 0
