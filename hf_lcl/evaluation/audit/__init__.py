"""What embeddings say of a file: labels that look wrong, equal texts, outliers, and what to label next."""
