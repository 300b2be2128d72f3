"""What a token's verified claims must be and what they give: pure functions."""
