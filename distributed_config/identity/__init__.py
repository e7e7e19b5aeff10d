"""Who people are, asked of an identity provider elsewhere."""
