"""What a nursery raises, for people: the exceptions themselves."""


def leaves(group: ExceptionGroup[Exception]) -> list[Exception]:
    """The exceptions in a group, whatever groups they are in."""
    found: list[Exception] = []
    for error in group.exceptions:
        found += leaves(error) if isinstance(error, ExceptionGroup) else [error]
    return found
