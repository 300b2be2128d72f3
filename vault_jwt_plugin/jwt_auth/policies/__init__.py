"""Policy names made from a role's templates and a token's claims."""
