"""`coord top`: who holds what, who waits, and how the cluster does, on a terminal.

    poll      asks all members, once a second, each in a session of its own that is kept
    claims    from the list of sessions and leases to locks with their queues
    events    what all members tell of, put together
    history   takes one sample after the other: rates, hand-overs; gives the model
    model     what there is to show: plain data
    screen    what a person has chosen: sorting, filter, what is looked at; and what a key changes about it
    view      (model, screen, size) → a frame; its parts: members, listing, details; below them: frame, layout, words
    terminal  the real one: keys in, frames out, and as it was before when we leave
    app       all of it together

All but `poll`, `terminal` and `app` are pure: no I/O, no clock.
"""
