"""Drawing a synthetic face from its factors."""
