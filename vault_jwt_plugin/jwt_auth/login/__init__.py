"""One login flow over every kind of role, and the table of checks it walks."""
