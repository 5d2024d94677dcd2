"""The command line. Each command is a module of its own, imported when it is called: `coord --help` stays quick."""

from importlib import import_module

import click

from coord import __version__

# Command → (module, its click command there, what `coord --help` says about it).
COMMANDS = {
    "serve": ("coord.cli.serve", "serve", "Run one server; with nothing at all, a cluster of one."),
    "dev": ("coord.cli.dev", "dev", "Run three servers on this machine until Ctrl-C."),
    "demo": ("coord.cli.demo", "demo", "Watch a cluster elect, lock and survive its leaders' deaths."),
    "status": ("coord.cli.status", "status", "Show the members of a cluster: roles, indexes, sessions, leases."),
    "sim": ("coord.cli.sim", "sim", "Run clusters in the simulator under faults, by seed."),
    "bench": ("coord.cli.bench", "bench", "Load any ZooKeeper-protocol servers and measure."),
    "bench-client": ("coord.cli.bench_client", "bench_client", "Measure coord's Python client against kazoo."),
    "bench-compare": ("coord.cli.bench_compare", "bench_compare", "Measure coord against ZooKeeper and etcd."),
}


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
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="coord")
def main() -> None:
    """coord: locks, elections, leases and configuration for distributed programs, over ZooKeeper's protocol."""
