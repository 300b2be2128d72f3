module hosts/loadgen

go 1.22
