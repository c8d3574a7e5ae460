"""What the differential tests share: vectors, readers, recorders. The tests themselves are tests/real/test_differential*.py."""
