"""What holds for all commands: help, what is loaded for it, and exit codes."""

import inspect
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module

import click
import pytest
from click.testing import CliRunner

from coord.cli import COMMANDS, main
from coord.cli.exit_codes import ExitCode, Failure, errors_as_exit_codes, exit_code_of
from coord_protocol import errors
from coord_protocol.errors import ConnectionLost, CoordError, NoNode, OperationTimeout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_it_does(name: str) -> None:
    result = CliRunner().invoke(main, [name, "--help"])

    assert result.exit_code == 0
    assert "Usage: " in result.output


def test_help_loads_no_command() -> None:
    """`coord --help`, and each Tab in a shell, should be quick."""
    program = (
        "import sys; from coord.cli import main; main(['--help'], standalone_mode=False);"
        "sys.exit(any(name in sys.modules for name in ('trio', 'anyio', 'rich', 'coord_client', 'coord.cli.lock')))"
    )

    assert subprocess.run([sys.executable, "-c", program], stdout=subprocess.DEVNULL, check=False).returncode == 0


def options(command: click.Command) -> Iterator[tuple[str, click.Option]]:
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            yield parameter.opts[-1], parameter
    if isinstance(command, click.Group):
        for each in command.commands.values():
            yield from options(each)


def test_every_option_has_a_text() -> None:
    for module, name, _ in COMMANDS.values():
        for option, parameter in options(getattr(import_module(module), name)):
            assert parameter.help or parameter.hidden, f"{name} {option}"


def test_every_error_has_an_exit_code_that_is_documented() -> None:
    documented = CliRunner().invoke(main, ["exit-codes"]).output.splitlines()
    codes = {int(line.split()[0]) for line in documented if line[:1].isdigit()}

    kinds = [each for _, each in inspect.getmembers(errors, inspect.isclass) if issubclass(each, CoordError)]

    assert len(kinds) > 30
    assert {exit_code_of(kind.__new__(kind)) for kind in kinds} <= codes
    assert set(ExitCode) == codes


def ended_by(error: BaseException, *, writes: bool) -> Failure:
    with pytest.raises(Failure) as caught, errors_as_exit_codes(writes=writes):
        raise error
    return caught.value


def test_a_lost_answer_to_a_write_leaves_the_outcome_open() -> None:
    lost = ended_by(ConnectionLost(), writes=True)
    unsent = ended_by(OperationTimeout("no server", definite=True), writes=True)
    read = ended_by(ConnectionLost(), writes=False)

    assert lost.exit_code == unsent.exit_code == read.exit_code == ExitCode.UNREACHABLE
    assert "outcome unknown" in lost.message
    assert "it did not happen" in unsent.message
    assert "happen" not in read.message


def test_errors_are_found_in_groups() -> None:
    group = ExceptionGroup("of a nursery", [ExceptionGroup("of another", [NoNode("/a")])])

    assert ended_by(group, writes=False).exit_code == ExitCode.NO


def test_an_interrupt_is_no_answer() -> None:
    with pytest.raises(SystemExit) as caught, errors_as_exit_codes():
        raise BaseExceptionGroup("of a nursery", [KeyboardInterrupt()])

    assert caught.value.code == 130
