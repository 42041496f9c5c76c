"""Checks a data file by embeddings: labels that look wrong, equal texts, outliers, and what to label next."""
