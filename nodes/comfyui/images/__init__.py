"""Images that nodes show."""
