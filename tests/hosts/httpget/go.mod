module hosts/httpget

go 1.22
