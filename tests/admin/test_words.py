"""The four-letter words against the answers of a real ZooKeeper 3.8, and what kazoo and monitoring make of them."""

import re
from dataclasses import replace

import pytest

from coord.admin.descriptors import max_file_descriptors, open_file_descriptors
from coord.admin.words import (
    ZOOKEEPER_VERSION,
    ConnectionStatistics,
    Leading,
    Mode,
    Statistics,
    Words,
)
from coord.version import __version__

# Answers of ZooKeeper 3.8.0, recorded from an ensemble of three.
ZOOKEEPER_SRVR = """\
Zookeeper version: 3.8.0-${mvngit.commit.id}, built on 2024-12-29 17:54 UTC
Latency min/avg/max: 1/6.8571/23
Received: 10
Sent: 9
Connections: 2
Outstanding: 0
Zxid: 0x100000009
Mode: follower
Node count: 7
"""
ZOOKEEPER_STAT_OF_A_LEADER = """\
Zookeeper version: 3.8.0-${mvngit.commit.id}, built on 2024-12-29 17:54 UTC
Clients:
 /127.0.0.1:35542[0](queued=0,recved=1,sent=0)
 /127.0.0.1:59778[1](queued=0,recved=0,sent=0)

Latency min/avg/max: 2/2.5/3
Received: 6
Sent: 5
Connections: 1
Outstanding: 0
Zxid: 0x100000009
Mode: leader
Node count: 7
Proposal sizes last/min/max: 91/48/91
"""
# Of mntr's 500 keys, those that monitoring reads; the others are internals of the Java server.
ZOOKEEPER_MNTR = """
    zk_version zk_server_state zk_peer_state zk_ephemerals_count zk_num_alive_connections zk_avg_latency
    zk_outstanding_requests zk_znode_count zk_global_sessions zk_packets_sent zk_packets_received zk_watch_count
    zk_min_latency zk_max_file_descriptor_count zk_approximate_data_size zk_open_file_descriptor_count
    zk_local_sessions zk_uptime zk_max_latency zk_quorum_size zk_connection_rejected zk_connection_drop_count
"""
ZOOKEEPER_MNTR_OF_A_LEADER = """
    zk_learners zk_synced_followers zk_synced_observers zk_synced_non_voting_followers zk_pending_syncs
    zk_leader_uptime
"""

CLIENTS = (
    ConnectionStatistics(address="127.0.0.1:50001", queued=2, received=10, sent=8),
    ConnectionStatistics(address="[::1]:50002", queued=0, received=1, sent=1),
)
FOLLOWER = Statistics(
    mode=Mode.FOLLOWER,
    voters=3,
    uptime_ms=818,
    zxid=0x1F,
    term=4,
    commit_index=0x20,
    znode_count=7,
    approximate_data_size=202,
    ephemerals=1,
    watch_count=2,
    sessions=3,
    leases=5,
    connection_count=2,
    connections=CLIENTS,
    rejected_connections=6,
    dropped_connections=9,
    min_latency_ms=0.4,
    avg_latency_ms=6.857142857,
    max_latency_ms=23.9,
    received=11,
    sent=9,
    outstanding=2,
    open_file_descriptors=62,
    max_file_descriptors=20000,
)
LEADER = replace(
    FOLLOWER, mode=Mode.LEADER, leading=Leading(followers=2, synced_followers=1, synced_observers=3, uptime_ms=742)
)
STANDALONE = replace(FOLLOWER, mode=Mode.STANDALONE, voters=1)
WITHOUT_LEADER = replace(FOLLOWER, mode=None)


def ask(word: str, statistics: Statistics = FOLLOWER) -> str:
    answer = Words(lambda: statistics).answer(word.encode())
    assert answer is not None
    return answer.decode()


def monitored(statistics: Statistics) -> dict[str, str]:
    """mntr's lines as a tool splits them."""
    return dict(line.split("\t") for line in ask("mntr", statistics).splitlines())


def shape(text: str) -> list[str]:
    """The lines without what differs from server to server: numbers, addresses, the version."""
    lines = [re.sub(r"version: .*", "version", line) for line in text.splitlines()]
    return [re.sub(r"/\S+?\[|0x[0-9a-f]+|-?\d+(\.\d+)?", "N", line) for line in lines]


def test_srvr_has_the_lines_of_zookeeper() -> None:
    assert shape(ask("srvr").replace("leader", "follower")) == shape(ZOOKEEPER_SRVR)


def test_srvr_says_the_values() -> None:
    assert ask("srvr").splitlines() == [
        f"Zookeeper version: {ZOOKEEPER_VERSION}",
        "Latency min/avg/max: 0/6.8571/23",
        "Received: 11",
        "Sent: 9",
        "Connections: 2",
        "Outstanding: 2",
        "Zxid: 0x1f",
        "Mode: follower",
        "Node count: 7",
    ]


def test_stat_of_a_leader_has_the_lines_of_zookeeper() -> None:
    """With one more line at its end, and after the connections an empty one."""
    assert shape(ask("stat", LEADER)) == shape(ZOOKEEPER_STAT_OF_A_LEADER)


def test_stat_lists_the_connections() -> None:
    lines = ask("stat").splitlines()

    assert lines[1:5] == [
        "Clients:",
        " /127.0.0.1:50001[1](queued=2,recved=10,sent=8)",
        " /[::1]:50002[1](queued=0,recved=1,sent=1)",
        "",
    ]


def test_stat_is_srvr_without_the_clients() -> None:
    stat = ask("stat").splitlines()

    assert [stat[0], *stat[stat.index("") + 1 :]] == ask("srvr").splitlines()


def test_mntr_of_a_follower_has_the_keys_that_monitoring_reads() -> None:
    keys = set(monitored(FOLLOWER))

    assert {key for key in keys if key.startswith("zk_")} == set(ZOOKEEPER_MNTR.split())


def test_mntr_of_a_leader_counts_its_followers() -> None:
    """`zk_followers` is what ZooKeeper called it until 3.5, and what many tools still read."""
    values = monitored(LEADER)

    assert {key for key in values if key.startswith("zk_")} == set(
        (ZOOKEEPER_MNTR + ZOOKEEPER_MNTR_OF_A_LEADER).split()
    ) | {"zk_followers"}
    assert (values["zk_followers"], values["zk_learners"], values["zk_synced_followers"]) == ("2", "2", "1")
    assert values["zk_peer_state"] == "leading - broadcast"


def test_mntr_of_a_single_server_knows_no_peers() -> None:
    values = monitored(STANDALONE)

    assert values["zk_server_state"] == "standalone"
    assert not {"zk_peer_state", "zk_quorum_size", "zk_followers"} & values.keys()


def test_mntr_says_what_only_coord_has() -> None:
    values = monitored(FOLLOWER)

    assert {key: value for key, value in values.items() if key.startswith("coord_")} == {
        "coord_version": __version__,
        "coord_term": "4",
        "coord_commit_index": "32",
        "coord_applied_index": "31",
        "coord_sessions": "3",
        "coord_leases": "5",
    }


def test_mntr_values_are_numbers_but_for_versions_and_states() -> None:
    texts = {"zk_version", "coord_version", "zk_server_state", "zk_peer_state"}

    assert all(re.fullmatch(r"-?\d+(\.\d+)?", value) for key, value in monitored(LEADER).items() if key not in texts)


@pytest.mark.parametrize("word", ["srvr", "stat", "mntr"])
def test_server_without_a_leader_says_that_it_does_not_serve(word: str) -> None:
    assert ask(word, WITHOUT_LEADER) == "This ZooKeeper instance is not currently serving requests\n"


def test_isro_tells_whether_there_is_a_leader() -> None:
    """Exactly so: a client in search of a server compares with `rw`."""
    assert ask("isro") == "rw"
    assert ask("isro", WITHOUT_LEADER) == "null"


@pytest.mark.parametrize("sent", ["ruok", "ruok\n", "ruok\r\n"])
def test_ruok_is_answered_with_and_without_a_newline(sent: str) -> None:
    assert ask(sent, WITHOUT_LEADER) == "imok"


def test_envi_tells_kazoo_the_version() -> None:
    """`KazooClient.server_version` splits at `=` and takes the leading numbers, from one read of 8 KiB."""
    text = ask("envi", WITHOUT_LEADER)
    head, *lines = text.splitlines()
    values = dict(line.split("=", 1) for line in lines)

    assert head == "Environment:"
    assert len(text) < 8192
    assert re.match(r"\d+\.\d+\.\d+-", values["zookeeper.version"])
    assert values["coord.version"] == __version__
    assert {"host.name", "os.name", "os.arch", "os.version", "user.name", "user.home", "user.dir"} < values.keys()


def test_words_of_zookeeper_that_we_lack_are_switched_off() -> None:
    assert ask("cons") == "cons is not executed because it is not in the whitelist.\n"


@pytest.mark.parametrize("first_bytes", [b"", b"ruo", b"bogu", b"RUOK", b"GET / HTTP", b"\0\0\0\x2d\0\0\0\0"])
def test_other_first_bytes_are_no_word(first_bytes: bytes) -> None:
    """A handshake begins with its length. ZooKeeper, too, takes letters that it does not know for a length."""
    assert Words(lambda: FOLLOWER).answer(first_bytes) is None


def test_open_descriptors_are_counted() -> None:
    before = open_file_descriptors()

    with open("/dev/null", "rb"):
        assert open_file_descriptors() == before + 1

    assert max_file_descriptors() > before or max_file_descriptors() == -1


def test_a_learner_is_what_zookeeper_calls_an_observer() -> None:
    learner = replace(FOLLOWER, mode=Mode.OBSERVER)

    assert "Mode: observer" in ask("srvr", learner).splitlines()
    assert monitored(learner)["zk_peer_state"] == "observing - broadcast"
    assert monitored(LEADER)["zk_synced_observers"] == "3"
