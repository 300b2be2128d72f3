// Loadgen makes requests over a fixed number of connections for a while and prints, as JSON, how
// many of each kind were answered as expected, how many were not, and how long the former took. A
// connection sends its next request when the last is answered. It writes and reads HTTP itself:
// what net/http's client adds is processor time taken from the server that is measured.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math/rand"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	patience     = 60 * time.Second // for one answer
	keptFailures = 5                // texts, of each kind
	keptBytes    = 300              // of each such text
	retryPause   = 10 * time.Millisecond
)

// job is read from stdin, as JSON.
type job struct {
	Address     string  `json:"address"`
	Connections int     `json:"connections"`
	Seconds     float64 `json:"seconds"`
	Kinds       []kind  `json:"kinds"`
}

// kind is one sort of request: of all requests its weight's share. Its bodies take turns.
type kind struct {
	Name     string   `json:"name"`
	Weight   int      `json:"weight"`
	Method   string   `json:"method"`
	Path     string   `json:"path"`
	Token    string   `json:"token"`
	Bodies   []string `json:"bodies"`
	Expected []int    `json:"expected"`

	requests [][]byte
	next     atomic.Int64
	mutex    sync.Mutex
	outcome  outcome
	took     []time.Duration
}

type outcome struct {
	Answered int      `json:"answered"`
	Failed   int      `json:"failed"`
	P50      float64  `json:"p50_ms"`
	P99      float64  `json:"p99_ms"`
	Max      float64  `json:"max_ms"`
	Failures []string `json:"failures"`
}

func main() {
	var work job
	if err := json.NewDecoder(os.Stdin).Decode(&work); err != nil {
		log.Fatal(err)
	}
	deck := shuffled(work)
	var (
		group sync.WaitGroup
		turn  atomic.Int64
	)
	start := time.Now()
	end := start.Add(time.Duration(work.Seconds * float64(time.Second)))
	for range work.Connections {
		group.Add(1)
		go func() {
			defer group.Done()
			drive(work.Address, end, func() *kind {
				return deck[int(turn.Add(1)-1)%len(deck)]
			})
		}()
	}
	group.Wait()
	elapsed := time.Since(start)
	outcomes := map[string]outcome{}
	for at := range work.Kinds {
		each := &work.Kinds[at]
		slices.Sort(each.took)
		each.outcome.Answered = len(each.took)
		each.outcome.P50 = percentile(each.took, 0.50)
		each.outcome.P99 = percentile(each.took, 0.99)
		each.outcome.Max = percentile(each.took, 1)
		outcomes[each.Name] = each.outcome
	}
	answer := map[string]any{"seconds": elapsed.Seconds(), "kinds": outcomes}
	if err := json.NewEncoder(os.Stdout).Encode(answer); err != nil {
		log.Fatal(err)
	}
}

// shuffled holds each kind as often as it weighs; the same order in every run.
func shuffled(work job) []*kind {
	var deck []*kind
	for at := range work.Kinds {
		each := &work.Kinds[at]
		each.outcome.Failures = []string{}
		for _, body := range each.Bodies {
			each.requests = append(each.requests, request(work.Address, each, body))
		}
		for range each.Weight {
			deck = append(deck, each)
		}
	}
	if len(deck) == 0 {
		log.Fatal("nothing to send")
	}
	rand.New(rand.NewSource(1)).Shuffle(len(deck), func(a, b int) {
		deck[a], deck[b] = deck[b], deck[a]
	})
	return deck
}

func request(address string, of *kind, body string) []byte {
	token := ""
	if of.Token != "" {
		token = "X-Vault-Token: " + of.Token + "\r\n"
	}
	return fmt.Appendf(nil,
		"%s %s HTTP/1.1\r\nHost: %s\r\n%sContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		of.Method, of.Path, address, token, len(body), body)
}

// drive uses one connection at a time until the end.
func drive(address string, end time.Time, choose func() *kind) {
	var (
		connection net.Conn
		reader     *bufio.Reader
	)
	for time.Now().Before(end) {
		chosen := choose()
		message := chosen.requests[int(chosen.next.Add(1)-1)%len(chosen.requests)]
		began := time.Now()
		var err error
		if connection == nil {
			connection, err = net.Dial("tcp", address)
			if err == nil {
				reader = bufio.NewReaderSize(connection, 16<<10)
			}
		}
		var said string
		if err == nil {
			said, err = exchange(connection, reader, message, chosen.Expected)
		}
		took := time.Since(began)
		if err != nil {
			said = err.Error()
			if connection != nil {
				connection.Close()
				connection = nil
			}
			time.Sleep(retryPause)
		}
		chosen.note(took, said)
	}
	if connection != nil {
		connection.Close()
	}
}

// exchange sends a request and reads the answer. Returns what an unexpected one says, "" if it is
// as expected; an error when the connection is of no use any more.
func exchange(
	connection net.Conn, reader *bufio.Reader, message []byte, expected []int,
) (string, error) {
	if err := connection.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	if _, err := connection.Write(message); err != nil {
		return "", err
	}
	response, err := http.ReadResponse(reader, nil)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	if slices.Contains(expected, response.StatusCode) {
		_, err = io.Copy(io.Discard, response.Body)
		return "", err
	}
	text, err := io.ReadAll(response.Body)
	return fmt.Sprintf("%d %s", response.StatusCode, text[:min(len(text), keptBytes)]), err
}

func (of *kind) note(took time.Duration, failure string) {
	of.mutex.Lock()
	defer of.mutex.Unlock()
	if failure == "" {
		of.took = append(of.took, took)
		return
	}
	of.outcome.Failed++
	if len(of.outcome.Failures) < keptFailures {
		of.outcome.Failures = append(of.outcome.Failures, failure)
	}
}

// percentile of sorted durations, in milliseconds; 0 when there are none.
func percentile(sorted []time.Duration, share float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	index := int(share * float64(len(sorted)-1))
	return float64(sorted[index].Microseconds()) / 1000
}
