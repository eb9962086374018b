"""What happens to a result: journal, courier, archive."""
