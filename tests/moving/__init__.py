"""What moves in from ZooKeeper: read from files that it wrote, and from such as older releases write."""
