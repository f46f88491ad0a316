package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const restartMessages = 400

// restartParts stop in the midst of consuming until the server has been started again, then go on until they have everything.
var restartParts = map[string]func(context.Context, jetstream.JetStream, *tally){
	"restart-fetch": restartFetch, "restart-messages": restartIterator, "restart-consume": restartConsume,
	"restart-ordered": restartOrdered,
}

// tally keeps what came and stops once at the half.
type tally struct {
	mu   sync.Mutex
	seen []int
	set  map[int]bool
	once sync.Once
	done chan struct{}
}

func (t *tally) take(data []byte) {
	n := must(strconv.Atoi(string(data)))
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seen = append(t.seen, n)
	t.set[n] = true
	if len(t.set) == restartMessages/2 {
		t.once.Do(func() {
			fmt.Println("half")
			bufio.NewReader(os.Stdin).ReadString('\n')
		})
	}
	if len(t.set) == restartMessages {
		close(t.done)
	}
}

func (t *tally) complete() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.set) == restartMessages
}

func runRestart(url string, run func(context.Context, jetstream.JetStream, *tally)) {
	nc := must(nats.Connect(url, nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond)))
	defer nc.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Second)
	defer cancel()
	js := must(jetstream.New(nc))
	must(js.CreateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}}))
	for i := 0; i < restartMessages; i++ {
		must(js.Publish(ctx, "s.a", []byte(strconv.Itoa(i))))
	}
	t := &tally{set: map[int]bool{}, done: make(chan struct{})}
	run(ctx, js, t)
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Println(string(must(json.Marshal(t.seen))))
}

func restartConsumer(ctx context.Context, js jetstream.JetStream) jetstream.Consumer {
	return must(js.CreateConsumer(ctx, "S", jetstream.ConsumerConfig{
		Durable: "c", AckPolicy: jetstream.AckExplicitPolicy, AckWait: 2 * time.Second}))
}

func restartFetch(ctx context.Context, js jetstream.JetStream, t *tally) {
	c := restartConsumer(ctx, js)
	for !t.complete() && ctx.Err() == nil {
		batch, err := c.Fetch(20, jetstream.FetchMaxWait(2*time.Second))
		if err != nil {
			continue
		}
		for m := range batch.Messages() {
			t.take(m.Data())
			m.Ack()
		}
	}
}

func restartIterator(ctx context.Context, js jetstream.JetStream, t *tally) {
	it := must(restartConsumer(ctx, js).Messages(jetstream.PullMaxMessages(20), jetstream.PullHeartbeat(time.Second), jetstream.PullExpiry(5*time.Second)))
	defer it.Stop()
	for !t.complete() && ctx.Err() == nil {
		m, err := it.Next()
		if err != nil {
			continue // a missed heartbeat: the iterator asks again
		}
		t.take(m.Data())
		m.Ack()
	}
}

func restartConsume(ctx context.Context, js jetstream.JetStream, t *tally) {
	cc := must(restartConsumer(ctx, js).Consume(func(m jetstream.Msg) {
		t.take(m.Data())
		m.Ack()
	}, jetstream.PullMaxMessages(20), jetstream.PullHeartbeat(time.Second), jetstream.PullExpiry(5*time.Second)))
	defer cc.Stop()
	select {
	case <-t.done:
	case <-ctx.Done():
	}
}

func restartOrdered(ctx context.Context, js jetstream.JetStream, t *tally) {
	c := must(js.OrderedConsumer(ctx, "S", jetstream.OrderedConsumerConfig{}))
	cc := must(c.Consume(func(m jetstream.Msg) { t.take(m.Data()) },
		jetstream.PullMaxMessages(20), jetstream.PullHeartbeat(time.Second), jetstream.PullExpiry(5*time.Second)))
	defer cc.Stop()
	select {
	case <-t.done:
	case <-ctx.Done():
	}
}
