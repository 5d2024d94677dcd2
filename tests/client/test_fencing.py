"""Fencing tokens at files, SQLite and an HTTP handler: who was overtaken is refused."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from coord_client.fencing import FENCES_TABLE, HEADER, FileFence, admit_in_sql, token_of
from coord_protocol.errors import LocalProtocolError, StaleToken


def test_file_fence_admits_the_newest_again_and_again_and_nothing_older(tmp_path: Path) -> None:
    path = tmp_path / "fence"
    admitted = []
    for token in (7, 7, 12, 12):
        with FileFence(path).admit(token):
            admitted.append(token)

    said = "fence: token 7 is refused, since token 12 was seen"
    with pytest.raises(StaleToken, match=said) as refused, FileFence(path).admit(7):
        admitted.append(7)

    assert admitted == [7, 7, 12, 12]
    assert (refused.value.token, refused.value.newest) == (7, 12)


def test_file_fence_remembers_the_token_of_a_body_that_failed(tmp_path: Path) -> None:
    """It may have written half of what it wanted: the holder before it must not go on all the same."""
    fence = FileFence(tmp_path / "fence")
    with pytest.raises(ZeroDivisionError), fence.admit(2):
        raise ZeroDivisionError

    with pytest.raises(StaleToken), fence.admit(1):
        pass


def test_file_fence_lets_the_older_holder_finish_before_the_newer_begins(tmp_path: Path) -> None:
    """Otherwise its write, admitted in time, would come after that of the newer one."""
    fence = FileFence(tmp_path / "fence")
    order: list[str] = []
    is_waiting = threading.Event()

    def newer() -> None:
        is_waiting.set()
        with fence.admit(2):
            order.append("newer")

    with fence.admit(1):
        thread = threading.Thread(target=newer)
        thread.start()
        is_waiting.wait()
        thread.join(0.05)  # it would be through by now if it could
        order.append("older")
    thread.join()

    assert order == ["older", "newer"]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "bank.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(FENCES_TABLE)
        connection.execute("CREATE TABLE accounts (balance INTEGER)")
        connection.execute("INSERT INTO accounts VALUES (100)")
    return path


def pay(database: Path, amount: int, token: int) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        cursor = connection.cursor()
        admit_in_sql(cursor, "accounts", token)
        cursor.execute("UPDATE accounts SET balance = balance + ?", (amount,))


def balance(database: Path) -> int:
    with closing(sqlite3.connect(database)) as connection:
        return int(connection.execute("SELECT balance FROM accounts").fetchone()[0])


def test_sql_refuses_the_transaction_of_an_older_holder(database: Path) -> None:
    pay(database, 10, token=5)
    pay(database, 10, token=5)
    pay(database, 10, token=9)

    with pytest.raises(StaleToken, match="accounts: token 5 is refused"):
        pay(database, 1000, token=5)

    assert balance(database) == 130


def test_sql_fences_resources_apart(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        admit_in_sql(connection.cursor(), "other", 100)

    pay(database, 10, token=5)

    assert balance(database) == 110


def test_sql_forgets_the_token_of_a_transaction_that_was_rolled_back(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection:
        admit_in_sql(connection.cursor(), "accounts", 9)
        connection.rollback()

    pay(database, 10, token=5)

    assert balance(database) == 110


@contextmanager
def http_service(fence: FileFence) -> Iterator[int]:
    """The port of a service that stores what the newest holder sends."""

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            try:
                with fence.admit(token_of(self.headers)):
                    status = 204
            except StaleToken:
                status = 409
            except LocalProtocolError:
                status = 400
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def put(port: int, headers: dict[str, str]) -> int:
    with closing(HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        connection.request("PUT", "/report", headers=headers)
        return connection.getresponse().status


def test_http_handler_refuses_an_older_holder_and_who_shows_no_token(tmp_path: Path) -> None:
    with http_service(FileFence(tmp_path / "fence")) as port:
        answers = [put(port, {HEADER: token}) for token in ("7", "12", "7", "twelve")]

        assert [*answers, put(port, {})] == [204, 204, 409, 400, 400]
