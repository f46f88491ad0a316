package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// fill makes a stream with `count` messages, alternating between NAME.even and NAME.odd in lower case.
func fill(ctx context.Context, js jetstream.JetStream, name string, count int) jetstream.Stream {
	prefix := strings.ToLower(name)
	s := must(js.CreateStream(ctx, jetstream.StreamConfig{Name: name, Subjects: []string{prefix + ".>"}}))
	for i := range count {
		must(js.Publish(ctx, prefix+[]string{".even", ".odd"}[i%2], fmt.Appendf(nil, "%d", i)))
	}
	return s
}

func consumerConfig(info *jetstream.ConsumerInfo) jetstream.ConsumerConfig {
	c := info.Config
	c.Metadata = withoutServerNotes(c.Metadata)
	return c
}

func standing(info *jetstream.ConsumerInfo) string {
	return text(map[string]any{"delivered": info.Delivered.Stream, "delivered_consumer": info.Delivered.Consumer,
		"floor": info.AckFloor.Stream, "floor_consumer": info.AckFloor.Consumer, "ack_pending": info.NumAckPending,
		"redelivered": info.NumRedelivered, "pending": info.NumPending, "waiting": info.NumWaiting})
}

func show(m jetstream.Msg) string {
	meta := must(m.Metadata())
	return fmt.Sprintf("%s=%s stream %d consumer %d delivered %d pending %d", m.Subject(), m.Data(),
		meta.Sequence.Stream, meta.Sequence.Consumer, meta.NumDelivered, meta.NumPending)
}

func all(batch jetstream.MessageBatch) []jetstream.Msg {
	got := []jetstream.Msg{}
	for m := range batch.Messages() {
		got = append(got, m)
	}
	if batch.Error() != nil {
		say("batch ended with", batch.Error())
	}
	return got
}

func datas(messages []jetstream.Msg) string {
	words := []string{}
	for _, m := range messages {
		words = append(words, string(m.Data()))
	}
	return strings.Join(words, " ")
}

// acksPart: every kind of ack on a durable pull consumer.
func acksPart(ctx context.Context, _ *nats.Conn, js jetstream.JetStream) {
	s := fill(ctx, js, "ACKS", 10)
	c := must(s.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{Durable: "worker", AckPolicy: jetstream.AckExplicitPolicy,
		MaxDeliver: 3, MaxAckPending: 6}))
	say("created", consumerConfig(c.CachedInfo()), standing(c.CachedInfo()))
	batch := all(must(c.Fetch(6, jetstream.FetchMaxWait(time.Second))))
	for _, m := range batch {
		say("fetched", show(m))
	}
	// With six on their way nothing new may come before the refused one.
	check(batch[2].Nak())
	again := must(c.Next(jetstream.FetchMaxWait(time.Second)))
	say("nak comes back", show(again), again.DoubleAck(ctx))
	check(batch[0].Ack())
	say("ack twice", batch[0].Ack())
	say("double ack", batch[1].DoubleAck(ctx))
	check(batch[4].TermWithReason("no good"))
	check(batch[5].DoubleAck(ctx))
	say("standing", standing(must(c.Info(ctx))))
	started := time.Now()
	check(batch[3].NakWithDelay(150 * time.Millisecond))
	for _, m := range all(must(c.Fetch(5, jetstream.FetchMaxWait(2*time.Second)))) {
		say("after the delayed nak", show(m))
		check(m.DoubleAck(ctx))
	}
	say("waited for it", time.Since(started) > 140*time.Millisecond)
	acksTimeout(ctx, js, s)
	check(js.DeleteStream(ctx, "ACKS"))
}

// acksTimeout: work in progress, the ack wait, the delivery limit, and the advisory it ends with.
func acksTimeout(ctx context.Context, js jetstream.JetStream, s jetstream.Stream) {
	limit := must(js.Conn().SubscribeSync("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.ACKS.last"))
	c := must(s.CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: "slow", AckPolicy: jetstream.AckExplicitPolicy,
		AckWait: 300 * time.Millisecond, MaxDeliver: 2, FilterSubject: "acks.odd", MaxAckPending: 2}))
	m := must(c.Next(jetstream.FetchMaxWait(time.Second)))
	for range 4 {
		time.Sleep(100 * time.Millisecond)
		check(m.InProgress())
	}
	say("kept by progress", standing(must(c.Info(ctx))))
	second := must(c.Next(jetstream.FetchMaxWait(time.Second)))
	say("second", show(second))
	again := must(c.Next(jetstream.FetchMaxWait(2 * time.Second)))
	say("ack wait passes", show(again))
	check(m.DoubleAck(ctx))
	check(second.DoubleAck(ctx))
	last := must(s.CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: "last", AckPolicy: jetstream.AckExplicitPolicy,
		MaxDeliver: 2, MaxAckPending: 1}))
	must(last.Next(jetstream.FetchMaxWait(time.Second)))
	say("nothing more beside it", failure(last.Next(jetstream.FetchMaxWait(30*time.Millisecond))))
	say("standing before", standing(must(last.Info(ctx))))
	check(s.DeleteConsumer(ctx, "last"))
	last = must(s.CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: "last", AckPolicy: jetstream.AckExplicitPolicy,
		MaxDeliver: 2, MaxAckPending: 1, AckWait: 100 * time.Millisecond}))
	for range 3 {
		say("to the limit", show(must(last.Next(jetstream.FetchMaxWait(2*time.Second)))))
	}
	advisory := must(limit.NextMsg(2 * time.Second))
	say("advisory", strings.Contains(string(advisory.Data), `"stream_seq":1,"deliveries":2`))
	backoff := must(s.CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: "backoff", AckPolicy: jetstream.AckExplicitPolicy,
		BackOff: []time.Duration{200 * time.Millisecond, 400 * time.Millisecond}, MaxDeliver: 3}))
	say("backoff", consumerConfig(backoff.CachedInfo()))
	must(backoff.Next(jetstream.FetchMaxWait(time.Second)))
	rest := all(must(backoff.Fetch(9, jetstream.FetchMaxWait(time.Second))))
	say("backoff fetch", datas(rest))
	say("backoff again", show(must(backoff.Next(jetstream.FetchMaxWait(time.Second)))))
}

// fetchingPart: each way of getting messages from a pull consumer.
func fetchingPart(ctx context.Context, _ *nats.Conn, js jetstream.JetStream) {
	s := fill(ctx, js, "FETCH", 40)
	durable := func(name string) jetstream.Consumer {
		return must(s.CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: name, AckPolicy: jetstream.AckExplicitPolicy,
			MaxRequestBatch: 500}))
	}
	c := durable("fetch")
	say("no wait", datas(all(must(c.FetchNoWait(5)))))
	rest := all(must(c.Fetch(100, jetstream.FetchMaxWait(100*time.Millisecond))))
	say("partial batch", string(rest[len(rest)-1].Data()))
	say("nothing there", len(all(must(c.FetchNoWait(5)))), failure(c.Next(jetstream.FetchMaxWait(50*time.Millisecond))))
	say("heartbeats", datas(all(must(c.Fetch(1, jetstream.FetchMaxWait(400*time.Millisecond), jetstream.FetchHeartbeat(100*time.Millisecond))))))
	say("batch too large", len(all(must(c.Fetch(501, jetstream.FetchMaxWait(time.Second))))))
	bytes := must(s.CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: "bytes", AckPolicy: jetstream.AckExplicitPolicy}))
	say("bytes", datas(all(must(bytes.FetchBytes(600, jetstream.FetchMaxWait(100*time.Millisecond))))))
	fetchingMessages(durable("messages"))
	fetchingConsume(ctx, js, durable("consume"))
	say("deleted under a fetch", fetchingDeleted(ctx, s, durable("deleted")))
	say("missing consumer", failure(s.Consumer(ctx, "none")))
	say("delete missing consumer", s.DeleteConsumer(ctx, "none"))
	names := s.ConsumerNames(ctx)
	say("consumer names", sorted(names.Name()), names.Err())
	list := s.ListConsumers(ctx)
	count := 0
	for range list.Info() {
		count++
	}
	say("consumers", count, list.Err())
	check(js.DeleteStream(ctx, "FETCH"))
}

func fetchingMessages(c jetstream.Consumer) {
	messages := must(c.Messages(jetstream.PullMaxMessages(7)))
	got := []jetstream.Msg{}
	for range 40 {
		m := must(messages.Next())
		check(m.Ack())
		got = append(got, m)
	}
	messages.Stop()
	say("messages", datas(got), failure(messages.Next()))
}

func fetchingConsume(ctx context.Context, js jetstream.JetStream, c jetstream.Consumer) {
	var lock sync.Mutex
	got, enough := []jetstream.Msg{}, make(chan struct{})
	running := must(c.Consume(func(m jetstream.Msg) {
		lock.Lock()
		defer lock.Unlock()
		check(m.Ack())
		got = append(got, m)
		if len(got) == 50 {
			close(enough)
		}
	}, jetstream.PullMaxMessages(10), jetstream.PullExpiry(time.Second), jetstream.PullHeartbeat(500*time.Millisecond)))
	for i := 40; i < 50; i++ {
		must(js.Publish(ctx, "fetch.late", fmt.Appendf(nil, "%d", i)))
	}
	select {
	case <-enough:
	case <-time.After(5 * time.Second):
	}
	running.Drain()
	<-running.Closed()
	say("consume", datas(got))
	deadline := time.Now().Add(2 * time.Second)
	for must(c.Info(ctx)).NumAckPending > 0 && time.Now().Before(deadline) {
		time.Sleep(5 * time.Millisecond)
	}
	info := must(c.Info(ctx))
	say("consumed", info.AckFloor.Stream, info.NumAckPending, info.NumPending)
}

func fetchingDeleted(ctx context.Context, s jetstream.Stream, c jetstream.Consumer) error {
	all(must(c.FetchNoWait(100)))
	batch := must(c.Fetch(1, jetstream.FetchMaxWait(2*time.Second)))
	time.Sleep(50 * time.Millisecond)
	check(s.DeleteConsumer(ctx, "deleted"))
	for range batch.Messages() {
		return errors.New("a message came")
	}
	return batch.Error()
}

// orderedPart: ordered consumers, also across the loss of the server's half.
func orderedPart(ctx context.Context, _ *nats.Conn, js jetstream.JetStream) {
	s := fill(ctx, js, "ORDER", 500)
	c := must(s.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{}))
	messages := must(c.Messages(jetstream.PullMaxMessages(50), jetstream.PullHeartbeat(500*time.Millisecond)))
	inOrder := true
	for i := range 300 {
		inOrder = inOrder && must(must(messages.Next()).Metadata()).Sequence.Stream == uint64(i+1)
	}
	say("ordered", inOrder)
	names := s.ConsumerNames(ctx)
	for name := range names.Name() {
		check(s.DeleteConsumer(ctx, name))
	}
	for i := 300; i < 500; i++ {
		inOrder = inOrder && must(must(messages.Next()).Metadata()).Sequence.Stream == uint64(i+1)
	}
	say("ordered after its consumer was deleted", inOrder)
	messages.Stop()
	filtered := must(s.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{FilterSubjects: []string{"order.odd"},
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: 495}))
	say("ordered from a sequence", datas(all(must(filtered.Fetch(3, jetstream.FetchMaxWait(time.Second))))))
	only := must(s.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{HeadersOnly: true, DeliverPolicy: jetstream.DeliverLastPolicy}))
	last := must(only.Next(jetstream.FetchMaxWait(time.Second)))
	say("headers only", headers(last.Headers()), len(last.Data()))
	check(js.DeleteStream(ctx, "ORDER"))
}
