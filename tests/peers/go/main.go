// Program clients runs named parts against one server with nats.go and prints a line per observation.
// Two servers that answer alike give the same text: nothing that depends on time, ports or random names is printed.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sort"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

type part func(ctx context.Context, nc *nats.Conn, js jetstream.JetStream)

var parts = map[string]part{
	"core": corePart, "streams": streamsPart, "publish": publishPart, "acks": acksPart, "fetching": fetchingPart,
	"ordered": orderedPart, "policies": policiesPart, "push": pushPart, "workqueue": workQueuePart,
	"keyvalue": keyValuePart, "objects": objectsPart, "older": olderPart, "mirrors": mirrorsPart, "jobs": jobsPart,
}

// filed parts take a file of logins in place of a URL.
var filed = map[string]func(path string){"logins": logins, "reconnect": reconnect}

func main() {
	if len(os.Args) < 3 {
		names := make([]string, 0, len(parts))
		for name := range parts {
			names = append(names, name)
		}
		sort.Strings(names)
		fmt.Fprintln(os.Stderr, "usage: clients URL PART... or clients logins|reconnect FILE; parts:", strings.Join(names, " "))
		os.Exit(2)
	}
	if run, known := filed[os.Args[1]]; known {
		run(os.Args[2])
		return
	}
	for _, name := range os.Args[2:] {
		if run, known := restartParts[name]; known {
			runRestart(os.Args[1], run)
			continue
		}
		run, known := parts[name]
		if !known {
			fmt.Fprintln(os.Stderr, "no such part:", name)
			os.Exit(2)
		}
		runPart(os.Args[1], run)
	}
}

func runPart(url string, run part) {
	nc := must(nats.Connect(url, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		fmt.Println("asynchronous error:", err)
	})))
	defer nc.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	run(ctx, nc, must(jetstream.New(nc)))
}

// say prints one observation; bytes as text, structures as JSON.
func say(label string, values ...any) {
	words := make([]string, 0, len(values))
	for _, value := range values {
		words = append(words, text(value))
	}
	fmt.Println(label + ": " + strings.Join(words, " | "))
}

func text(value any) string {
	switch v := value.(type) {
	case nil:
		return "ok"
	case []byte:
		return string(v)
	case string:
		return v
	case error:
		return describe(v)
	case bool, int, int64, uint64, uint16, time.Duration:
		return fmt.Sprint(v)
	}
	return string(must(json.Marshal(value)))
}

// describe gives an API error's code, number and text, and any other error's text.
func describe(err error) string {
	var api *jetstream.APIError
	if errors.As(err, &api) {
		return fmt.Sprintf("%d %d %s", api.Code, api.ErrorCode, api.Description)
	}
	return err.Error()
}

func must[T any](value T, err error) T {
	check(err)
	return value
}

// failure gives the error alone of a call that should fail.
func failure[T any](_ T, err error) error { return err }

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// sorted drains a channel of names.
func sorted(names <-chan string) []string {
	found := []string{}
	for name := range names {
		found = append(found, name)
	}
	sort.Strings(found)
	return found
}

// headers prints in a fixed order, without what the server stamps with a time.
func headers(h nats.Header) string {
	lines := []string{}
	for key, values := range h {
		if key != "Nats-Time-Stamp" {
			lines = append(lines, key+"="+strings.Join(values, ","))
		}
	}
	sort.Strings(lines)
	return strings.Join(lines, ";")
}
