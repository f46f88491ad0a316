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
	"restart-ordered": restartOrdered, "restart-push": restartPush, "restart-watch": restartWatch,
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

// restartPush: a push consumer whose messages go to a queue group of one.
func restartPush(ctx context.Context, js jetstream.JetStream, t *tally) {
	must(js.CreatePushConsumer(ctx, "S", jetstream.ConsumerConfig{Durable: "p", DeliverSubject: "to.p", DeliverGroup: "crew",
		AckPolicy: jetstream.AckExplicitPolicy, AckWait: 2 * time.Second, MaxAckPending: 20, IdleHeartbeat: time.Second}))
	c := must(js.PushConsumer(ctx, "S", "p"))
	cc := must(c.Consume(func(m jetstream.Msg) {
		t.take(m.Data())
		m.Ack()
	}))
	defer cc.Stop()
	select {
	case <-t.done:
	case <-ctx.Done():
	}
}

// restartWatch: half of the keys before the restart, half after it.
func restartWatch(ctx context.Context, js jetstream.JetStream, t *tally) {
	kv := must(js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "K"}))
	put := func(i int) error {
		_, err := kv.PutString(ctx, "k."+strconv.Itoa(i), strconv.Itoa(i))
		return err
	}
	for i := range restartMessages / 2 {
		check(put(i))
	}
	w := must(kv.WatchAll(ctx))
	defer w.Stop()
	rest := false
	for !t.complete() && ctx.Err() == nil {
		select {
		case e := <-w.Updates():
			if e == nil {
				continue // the end of what stood there
			}
			t.take(e.Value())
			if len(t.set) == restartMessages/2 && !rest {
				rest = true
				go func() {
					for i := restartMessages / 2; i < restartMessages; i++ {
						for put(i) != nil && ctx.Err() == nil { // the connection may not be back yet
							time.Sleep(50 * time.Millisecond)
						}
					}
				}()
			}
		case <-ctx.Done():
		}
	}
}
