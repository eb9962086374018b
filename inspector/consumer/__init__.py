"""The reference consumer: a subscriber that can prove that it has every result."""
