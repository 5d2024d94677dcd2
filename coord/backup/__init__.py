"""A cluster's state outside of the cluster: saved while it serves, and made into a new cluster when it is lost.

    manifest.py     which files a backup consists of
    log_files.py    the bytes of what was added to it since it was begun
    archive.py      a backup's directory: written, read, checked
    download.py     how it comes from a server, whole or what is new
    survivors.py    what can be read from the directories of members that are gone
    founding.py     from either to the data directory of a member of a new cluster

What the new cluster has to do with the old one: `coord.tree.rebirth`.
"""
