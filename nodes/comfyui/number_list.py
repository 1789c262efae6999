"""Numbers that a user types into one text field."""


def parse_numbers(text: str) -> tuple[float, ...]:
    """The numbers of "3, 5, 8", in their order and each once; ValueError for a text without any, or with something else."""
    numbers = []
    for part in filter(None, map(str.strip, text.replace(";", ",").split(","))):
        try:
            numbers.append(float(part))
        except ValueError:
            raise ValueError(f"has {part!r}, which is not a number: write numbers with commas between them, e.g. 3, 5, 8") from None
    if not numbers:
        raise ValueError("has no number: write the values to try, e.g. 3, 5, 8")
    return tuple(dict.fromkeys(numbers))
