"""How a run fails: a named rule was broken."""


class Violation(AssertionError):
    """Something that must always hold did not. `rule` is its name, the text tells who, what and when."""

    def __init__(self, rule: str, text: str) -> None:
        super().__init__(f"{rule}: {text}")
        self.rule = rule
        self.text = text
