"""What the server's log says about who the members are, and about whether this server is one."""

import logging

from coord.raft.configuration import NOBODY, Configuration, Membership
from coord.raft.types import BEFORE_FIRST, MemberId
from coord.server.settings import Settings

log = logging.getLogger("coord.server")


class Roster:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._member = MemberId(settings.id)
        self._was_told = False
        self._was_member = False

    def tell(self, membership: Membership) -> None:
        """The newest configuration in the log is this one: at the start, and whenever it is another."""
        configuration = membership.configuration
        is_member = self._member in configuration.members
        if configuration == NOBODY:
            log.info("not a member yet: joins the cluster of %s", self._settings.join)
        elif membership.index == BEFORE_FIRST:
            log.info("founds a cluster, or comes back to it, with %s", _described(configuration))
        else:
            log.info("configuration %d: %s", membership.index, _described(configuration))
            if not self._was_told:
                self._compare(configuration)
        if self._was_member and not is_member:
            log.warning(
                "member %d was removed from the cluster and serves nobody: stop it; its data directory is of no more"
                " use. To have it back, run `coord member add %d HOST:PORT` and start it with --join and an empty one",
                self._member,
                self._member,
            )
        elif membership.index > BEFORE_FIRST and not is_member and not self._was_told:
            log.warning(
                "member %d is none by its own log, which may be behind: if it does not catch up now, it was removed:"
                " stop it, or run `coord member add %d HOST:PORT` and start it with --join and an empty directory",
                self._member,
                self._member,
            )
        self._was_told = True
        self._was_member = is_member

    def _compare(self, configuration: Configuration) -> None:
        """[members] are those who found a cluster; people expect them to mean more."""
        settings = self._settings
        if settings.join is not None:
            log.info("has joined before: --join is not needed any more")
        elif settings.members:
            listed = {MemberId(member): str(address) for member, address in settings.members.items()}
            if listed != {seat.member: seat.address for seat in configuration.seats}:
                log.info("[members] differ from the cluster's own configuration, which is what counts")


def _described(configuration: Configuration) -> str:
    """
    >>> _described(Configuration((MemberId(1), MemberId(2)), learners=(MemberId(3),)))
    'voters 1, 2; learners 3'
    """
    parts = (
        ("voters", configuration.voters),
        ("voters before", configuration.outgoing),
        ("learners", configuration.learners),
    )
    return "; ".join(f"{name} {', '.join(map(str, members))}" for name, members in parts if members)
