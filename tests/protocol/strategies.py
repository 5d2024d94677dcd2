"""Hypothesis strategies for records, made from their declarations."""

from typing import Annotated, Any, get_args, get_origin

from hypothesis import strategies as st

from coord_protocol import extensions, records, requests
from coord_protocol.jute import Counted, Fixed, Packed, Record

NUMBERS = {
    "?": st.booleans(),
    "i": st.integers(-(2**31), 2**31 - 1),
    "q": st.integers(-(2**63), 2**63 - 1),
}
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
ACLS = st.lists(st.builds(records.ACL, NUMBERS["i"], TEXTS, TEXTS), max_size=4).map(tuple)
STATS = st.tuples(*(NUMBERS[code] for code in "qqqqiiiqiiq")).map(records.Stat._make)

ALL_RECORDS: list[type[Record]] = sorted(
    {
        value
        for module in (records, requests, extensions)
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Record) and value is not Record
    },
    key=lambda record: record.__name__,
)


def values_of(hint: Any) -> st.SearchStrategy[Any]:
    """All values that a field declared as `hint` can carry over the wire and back."""
    if get_origin(hint) is list:
        return st.lists(values_of(get_args(hint)[0]), max_size=4)
    if hint is requests.OptionalFlag:
        return st.sampled_from([None, False, True])
    if hint is records.AclsField:
        return ACLS
    if get_origin(hint) is not Annotated:
        return records_of(hint)
    wire = hint.__metadata__[0]
    match wire:
        case Fixed():
            return NUMBERS[wire.code]
        case Counted(text=True):
            return TEXTS
        case Counted():
            return st.none() | st.binary(max_size=40)
        case Packed():
            return STATS
    raise AssertionError(f"no strategy for {hint}")


def records_of(record: type[Record]) -> st.SearchStrategy[Any]:
    """Records of one class."""
    return st.builds(record, *(values_of(hint) for hint in record.wire_fields.values()))
