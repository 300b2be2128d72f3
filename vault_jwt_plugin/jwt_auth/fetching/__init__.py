"""Documents of issuers and answers of providers over HTTP, bounded in time and bytes."""
