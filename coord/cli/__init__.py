"""The command line. Each command is a module of its own, imported when it is called: `coord --help` stays quick."""

from importlib import import_module

import click

from coord.version import __version__

# Purpose → command → (module, its click command there, what `coord --help` says about it).
SECTIONS = {
    "Servers": {
        "serve": ("coord.cli.serve", "serve", "Run one server; with nothing at all, a cluster of one."),
        "dev": ("coord.cli.dev", "dev", "Run three servers on this machine until Ctrl-C."),
        "demo": ("coord.cli.demo", "demo", "Watch a cluster elect, lock and survive its leaders' deaths."),
        "status": ("coord.cli.status", "status", "Show the members of a cluster: roles, indexes, sessions, leases."),
        "top": ("coord.cli.top", "top", "Watch a cluster: who holds which lock, who waits, what happened."),
        "doctor": ("coord.cli.doctor", "doctor", "Check servers, configuration and machine; say what to do."),
    },
    "Operate": {
        "member": ("coord.cli.member", "member", "List, add, remove, replace members; hand leadership over."),
        "snapshot": ("coord.cli.snapshot", "snapshot", "Have a server write its state to its disk, now."),
        "backup": ("coord.cli.backup", "backup", "Save a cluster while it serves: all of it, or what is new."),
        "restore": ("coord.cli.restore", "restore", "Make a new cluster of a backup."),
        "recover": ("coord.cli.recover", "recover", "Make a new cluster of what is left when a majority is lost."),
        "import": ("coord.cli.moving", "import_", "Make a new cluster of what ZooKeeper has on its disk."),
    },
    "Look and change": {
        "ls": ("coord.cli.listing", "ls", "List the children of a znode."),
        "tree": ("coord.cli.listing", "tree", "Show a znode and what is below it."),
        "get": ("coord.cli.reading", "get", "Write a znode's data to stdout."),
        "stat": ("coord.cli.reading", "stat", "Show what is known of a znode beside its data."),
        "set": ("coord.cli.writing", "set_", "Write a znode's data, perhaps only if it has a version."),
        "create": ("coord.cli.writing", "create", "Create a znode."),
        "rm": ("coord.cli.rm", "rm", "Remove znodes, perhaps with all below them."),
        "acl": ("coord.cli.acl", "acl", "Show or replace who may do what with a znode."),
        "watch": ("coord.cli.watch", "watch", "Print changes as they happen."),
        "lease": ("coord.cli.leases", "lease", "List, show and revoke leases."),
        "session": ("coord.cli.sessions", "session", "List sessions, and close those of others."),
    },
    "Use": {
        "lock": ("coord.cli.lock", "lock", "Run a command while holding a lock."),
        "elect": ("coord.cli.elect", "elect", "Keep a command running on exactly one machine."),
    },
    "Measure": {
        "sim": ("coord.cli.sim", "sim", "Run clusters in the simulator under faults, by seed."),
        "bench": ("coord.cli.bench", "bench", "Load any ZooKeeper-protocol servers and measure."),
        "bench-client": ("coord.cli.bench_client", "bench_client", "Measure coord's Python client against kazoo."),
        "bench-embedded": ("coord.cli.bench_embedded", "bench_embedded", "Measure the start of an embedded server."),
        "bench-compare": ("coord.cli.bench_compare", "bench_compare", "Measure coord against ZooKeeper and etcd."),
    },
    "Help": {
        "completion": ("coord.cli.completion", "completion", "Let a shell complete commands and paths."),
        "exit-codes": ("coord.cli.exit_codes", "exit_codes", "What exit codes say to scripts."),
    },
}
COMMANDS = {name: command for section in SECTIONS.values() for name, command in section.items()}


class LazyGroup(click.Group):
    """Knows its commands by name, and imports only the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, name, _ = COMMANDS[cmd_name]
        command = getattr(import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, COMMANDS))
        for section, commands in SECTIONS.items():
            with formatter.section(section):
                formatter.write_dl([(name.ljust(width), text) for name, (_, _, text) in commands.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="coord")
def main() -> None:
    """coord: locks, elections, leases and configuration for distributed programs, over ZooKeeper's protocol.

    Commands print results on stdout and messages on stderr. They exit with 0 if it is done, 1 if the answer is no,
    3 if no server answers, 4 if it is not permitted: see `coord exit-codes`.
    """
