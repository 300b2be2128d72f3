// Sends one GET request as Go's net/http does by default, as the builtin methods do.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
)

func main() {
	pool := x509.NewCertPool()
	pem, err := os.ReadFile(os.Args[2])
	if err == nil && !pool.AppendCertsFromPEM(pem) {
		err = fmt.Errorf("no certificate in %s", os.Args[2])
	}
	if err == nil {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.TLSClientConfig = &tls.Config{RootCAs: pool}
		client := &http.Client{Transport: transport}
		var response *http.Response
		if response, err = client.Get(os.Args[1]); err == nil {
			response.Body.Close()
			return
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
