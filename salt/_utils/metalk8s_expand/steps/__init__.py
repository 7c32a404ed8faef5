"""What each step of an expansion does: observe, compare, change."""
