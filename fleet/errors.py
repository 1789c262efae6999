"""What a person can mend."""


class FleetError(Exception):
    """Stops the run. The text says what is wrong, with which value, and what to do."""


class PhotoError(Exception):
    """Fails one photo; its text becomes the photo's line in the report."""
