"""A process with a lock of Apache Curator's, as Debian packages it; each line that it reads is answered by one.

python -m tests.client.curator SERVERS/CHROOT PATH KIND      KIND: mutex, read, write

acquire  held        once it has the lock
release  released
"""

import sys
from pathlib import Path
from typing import Final

JARS: Final = [
    Path("/usr/share/java", f"{name}.jar")
    for name in ("curator-recipes", "curator-framework", "curator-client", "zookeeper", "guava", "slf4j-api")
]


def main(servers: str, path: str, kind: str) -> None:
    """Until standard input ends."""
    import jpype

    jpype.startJVM("-Xmx64m", classpath=[str(jar) for jar in JARS])
    locks = jpype.JPackage("org.apache.curator.framework.recipes.locks")
    retry = jpype.JClass("org.apache.curator.retry.RetryOneTime")(100)
    client = jpype.JClass("org.apache.curator.framework.CuratorFrameworkFactory").newClient(servers, retry)
    client.start()
    match kind:
        case "mutex":
            lock = locks.InterProcessMutex(client, path)
        case "read":
            lock = locks.InterProcessReadWriteLock(client, path).readLock()
        case _:
            lock = locks.InterProcessReadWriteLock(client, path).writeLock()
    for line in sys.stdin:
        if line.strip() == "acquire":
            lock.acquire()
            sys.stdout.write("held\n")
        else:
            lock.release()
            sys.stdout.write("released\n")
        sys.stdout.flush()
    client.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
