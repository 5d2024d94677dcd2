"""Why a lock needs a token: a leader is stopped between its read and its write, and wakes up when another leads.

    python examples/fenced_sqlite.py --servers 127.0.0.1:2181

Two tellers pay 10 each into an account of 100. Each leads while it does so: it reads the balance, adds, and writes. The
first is stopped in between, as a virtual machine that is moved, or a process that swaps, for longer than its session
lasts; so the second is elected and pays in. Then the first goes on where it was, and writes what it has computed from a
balance of long ago. Without the token one payment is lost; with it SQLite refuses the write, and the teller, once it
leads again, does it right.
"""

import argparse
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import anyio

from coord_client import connect
from coord_client.fencing import FENCES_TABLE, admit_in_sql
from coord_protocol.errors import LockLost, StaleToken

SESSION_TIMEOUT = 4.0


def balance(database: str) -> int:
    with closing(sqlite3.connect(database)) as connection:
        (amount,) = connection.execute("SELECT balance FROM accounts").fetchone()
        return int(amount)


def write(database: str, amount: int, token: int | None) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:  # commits, or rolls back
        cursor = connection.cursor()
        if token is not None:
            admit_in_sql(cursor, "accounts", token)
        cursor.execute("UPDATE accounts SET balance = ?", (amount,))


async def pay_in(name: str, servers: str, database: str, path: str, *, is_fenced: bool, is_stopped: bool) -> None:
    """What a teller does. `is_stopped`: it stands still in its first term, until it is continued from outside."""
    while True:
        try:
            async with (
                connect(servers, name=name, session_timeout=SESSION_TIMEOUT) as client,
                client.election(path) as leadership,
            ):
                amount = balance(database) + 10
                if is_stopped:
                    is_stopped = False
                    os.kill(os.getpid(), signal.SIGSTOP)
                write(database, amount, leadership.token if is_fenced else None)
                print(f"  {name} wrote {amount}, with token {leadership.token}", flush=True)
                return
        except StaleToken as error:
            print(f"  {name} was refused: {error}", flush=True)
        except LockLost:
            return  # it has written, and only then been told that it does not lead any more


def run(servers: str, directory: str, *, is_fenced: bool) -> int:
    """The balance in the end; it should be 120."""
    database = str(Path(directory) / f"bank-{is_fenced}.db")
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(FENCES_TABLE)
        connection.execute("CREATE TABLE accounts (balance INTEGER)")
        connection.execute("INSERT INTO accounts VALUES (100)")
    path = f"/bank/{os.urandom(8).hex()}"
    command = [sys.executable, __file__, "--servers", servers, "--database", database, "--path", path]
    command += ["--fenced"] if is_fenced else []
    first = subprocess.Popen([*command, "--teller", "first"])
    os.waitid(os.P_PID, first.pid, os.WSTOPPED | os.WNOWAIT)  # it leads, has read the balance, and stands still
    print("  the first teller is stopped between its read and its write", flush=True)
    subprocess.run([*command, "--teller", "second"], check=True)
    first.send_signal(signal.SIGCONT)
    first.wait()
    return balance(database)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--servers", default="127.0.0.1:2181", help="host:port,host:port")
    parser.add_argument("--teller", choices=["first", "second"], help=argparse.SUPPRESS)
    parser.add_argument("--database", help=argparse.SUPPRESS)
    parser.add_argument("--path", help=argparse.SUPPRESS)
    parser.add_argument("--fenced", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.teller:
        what = (given.teller, given.servers, given.database, given.path)
        anyio.run(lambda: pay_in(*what, is_fenced=given.fenced, is_stopped=given.teller == "first"))
    else:
        with tempfile.TemporaryDirectory() as directory:
            for fenced in (False, True):
                print("with the token:" if fenced else "without the token:", flush=True)
                print(f"  the account holds {run(given.servers, directory, is_fenced=fenced)}, of 120", flush=True)
