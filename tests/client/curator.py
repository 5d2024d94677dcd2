"""A process with a lock of Apache Curator's, as Debian packages it; each line that it reads is answered by one.

python -m tests.client.curator SERVERS/CHROOT PATH KIND      KIND: mutex, read, write, leader

acquire  held        once it has the lock
release  released
"""

import sys
import threading
from pathlib import Path
from typing import Any, Final

JARS: Final = [
    Path("/usr/share/java", f"{name}.jar")
    for name in ("curator-recipes", "curator-framework", "curator-client", "zookeeper", "guava", "slf4j-api")
]


def main(servers: str, path: str, kind: str) -> None:
    """Until standard input ends."""
    import jpype

    jpype.startJVM("-Xmx64m", classpath=[str(jar) for jar in JARS])
    retry = jpype.JClass("org.apache.curator.retry.RetryOneTime")(100)
    client = jpype.JClass("org.apache.curator.framework.CuratorFrameworkFactory").newClient(servers, retry)
    client.start()
    locks = jpype.JPackage("org.apache.curator.framework.recipes.locks")
    match kind:
        case "mutex":
            lock = locks.InterProcessMutex(client, path)
        case "read":
            lock = locks.InterProcessReadWriteLock(client, path).readLock()
        case "write":
            lock = locks.InterProcessReadWriteLock(client, path).writeLock()
        case _:
            lock = leader_selector(client, path)
    for line in sys.stdin:
        if line.strip() == "acquire":
            lock.acquire()
            sys.stdout.write("held\n")
        else:
            lock.release()
            sys.stdout.write("released\n")
        sys.stdout.flush()
    client.close()


def leader_selector(client: Any, path: str) -> Any:
    """Curator's election, which calls its leader, in the shape of a lock."""
    import jpype

    leads, is_over = threading.Event(), threading.Event()

    def take_leadership(_: object) -> None:
        leads.set()
        is_over.wait()

    def state_changed(*_: object) -> None:
        return

    listener = jpype.JProxy(
        "org.apache.curator.framework.recipes.leader.LeaderSelectorListener",
        dict={"takeLeadership": take_leadership, "stateChanged": state_changed},
    )
    selector = jpype.JClass("org.apache.curator.framework.recipes.leader.LeaderSelector")(client, path, listener)
    selector.setId("curator")

    class Leading:
        def acquire(self) -> None:
            selector.start()
            leads.wait()

        def release(self) -> None:
            is_over.set()

    return Leading()


if __name__ == "__main__":
    main(*sys.argv[1:])
