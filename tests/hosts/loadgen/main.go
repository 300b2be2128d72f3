// Loadgen sends the same POST over a fixed number of connections for a while and prints, as JSON,
// how many were answered, how many failed, and how long the answered ones took. It stands in for
// wrk where that is not installed: a connection sends its next request when the last is answered.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"
)

type result struct {
	Answered int     `json:"answered"`
	Failed   int     `json:"failed"`
	Seconds  float64 `json:"seconds"`
	P50      float64 `json:"p50_ms"`
	P99      float64 `json:"p99_ms"`
}

func main() {
	url := flag.String("url", "", "where to send")
	bodyFile := flag.String("body", "", "file that holds the request's body")
	connections := flag.Int("connections", 1, "how many at once")
	duration := flag.Duration("duration", 3*time.Second, "how long")
	flag.Parse()
	body, err := os.ReadFile(*bodyFile)
	if err != nil {
		log.Fatal(err)
	}

	var (
		mutex     sync.Mutex
		latencies []time.Duration
		failed    int
		group     sync.WaitGroup
	)
	start := time.Now()
	end := start.Add(*duration)
	for range *connections {
		group.Add(1)
		go func() {
			defer group.Done()
			own, ownFailed := drive(*url, body, end)
			mutex.Lock()
			defer mutex.Unlock()
			latencies = append(latencies, own...)
			failed += ownFailed
		}()
	}
	group.Wait()
	elapsed := time.Since(start)
	slices.Sort(latencies)
	answer := result{
		Answered: len(latencies),
		Failed:   failed,
		Seconds:  elapsed.Seconds(),
		P50:      percentile(latencies, 0.50),
		P99:      percentile(latencies, 0.99),
	}
	if err := json.NewEncoder(os.Stdout).Encode(answer); err != nil {
		log.Fatal(err)
	}
}

// drive uses one connection until the end and returns the time each answered request took.
func drive(url string, body []byte, end time.Time) ([]time.Duration, int) {
	client := &http.Client{
		Timeout: 30 * time.Second,
		Transport: &http.Transport{
			DialContext:         (&net.Dialer{}).DialContext,
			MaxIdleConnsPerHost: 1,
			DisableCompression:  true,
		},
	}
	defer client.CloseIdleConnections()
	var latencies []time.Duration
	failed := 0
	for time.Now().Before(end) {
		began := time.Now()
		response, err := client.Post(url, "application/json", bytes.NewReader(body))
		if err != nil {
			failed++
			continue
		}
		_, err = io.Copy(io.Discard, response.Body)
		response.Body.Close()
		if err != nil || response.StatusCode != http.StatusOK {
			failed++
			continue
		}
		latencies = append(latencies, time.Since(began))
	}
	return latencies, failed
}

// percentile of sorted durations, in milliseconds; 0 when there are none.
func percentile(sorted []time.Duration, share float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	index := int(share * float64(len(sorted)-1))
	return float64(sorted[index].Microseconds()) / 1000
}
