package main

import (
	"context"
	"fmt"
	"sort"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// corePart: the bus without JetStream.
func corePart(_ context.Context, nc *nats.Conn, _ jetstream.JetStream) {
	say("server", nc.HeadersSupported(), nc.MaxPayload(), nc.TLSRequired(), nc.AuthRequired())
	coreDelivery(nc)
	coreQueue(nc)
	coreRequests(nc)
	coreLimits(nc)
	coreDrain(nc)
}

func coreDelivery(nc *nats.Conn) {
	for _, pattern := range []string{"a.b", "a.*", "a.>", ">"} {
		sub := must(nc.SubscribeSync(pattern))
		for _, subject := range []string{"a.b", "a.b.c", "a"} {
			check(nc.Publish(subject, []byte("to "+subject)))
		}
		check(nc.Flush())
		for {
			m, err := sub.NextMsg(30 * time.Millisecond)
			if err != nil {
				break
			}
			say("subscription "+pattern, m.Subject, m.Data)
		}
		check(sub.Unsubscribe())
	}
	sub := must(nc.SubscribeSync("head"))
	check(nc.PublishMsg(&nats.Msg{Subject: "head", Reply: "back", Data: []byte("body"),
		Header: nats.Header{"One": {"1", "2"}, "two": {" spaced "}}}))
	m := must(sub.NextMsg(time.Second))
	say("headers", m.Subject, m.Reply, headers(m.Header), m.Data)
	check(nc.PublishMsg(&nats.Msg{Subject: "head", Header: nats.Header{"Only": {"header"}}}))
	m = must(sub.NextMsg(time.Second))
	say("empty body", headers(m.Header), len(m.Data))

	limited := must(nc.SubscribeSync("limited"))
	check(limited.AutoUnsubscribe(2))
	for range 4 {
		check(nc.Publish("limited", nil))
	}
	check(nc.Flush())
	say("auto unsubscribe", must(limited.NextMsg(time.Second)).Subject, must(limited.NextMsg(time.Second)).Subject,
		failure(limited.NextMsg(50*time.Millisecond)))
}

func coreQueue(nc *nats.Conn) {
	var first, second, alone atomic.Int64
	count := func(n *atomic.Int64) nats.MsgHandler { return func(*nats.Msg) { n.Add(1) } }
	a := must(nc.QueueSubscribe("work", "crew", count(&first)))
	b := must(nc.QueueSubscribe("work", "crew", count(&second)))
	c := must(nc.Subscribe("work", count(&alone)))
	for range 200 {
		check(nc.Publish("work", nil))
	}
	check(nc.Flush())
	deadline := time.Now().Add(2 * time.Second)
	for first.Load()+second.Load() < 200 && time.Now().Before(deadline) || alone.Load() < 200 && time.Now().Before(deadline) {
		time.Sleep(5 * time.Millisecond)
	}
	say("queue", first.Load()+second.Load(), first.Load() > 0 && second.Load() > 0, alone.Load())
	for _, sub := range []*nats.Subscription{a, b, c} {
		check(sub.Unsubscribe())
	}
}

func coreRequests(nc *nats.Conn) {
	service := must(nc.Subscribe("service", func(m *nats.Msg) {
		check(m.RespondMsg(&nats.Msg{Data: append([]byte("re "), m.Data...), Header: nats.Header{"By": {"service"}}}))
	}))
	m := must(nc.Request("service", []byte("ask"), time.Second))
	say("request", m.Data, headers(m.Header))
	say("no responders", failure(nc.Request("nobody", nil, time.Second)))
	mute := must(nc.SubscribeSync("mute"))
	say("timeout", failure(nc.Request("mute", nil, 50*time.Millisecond)))
	check(mute.Unsubscribe())
	check(service.Unsubscribe())
	check(nc.Flush())
	say("service gone", failure(nc.Request("service", nil, time.Second)))
	// A reply subject without responders brings the 503 itself.
	inbox := must(nc.SubscribeSync("inbox"))
	check(nc.PublishRequest("nobody", "inbox", nil))
	say("status", failure(inbox.NextMsg(time.Second)))
	check(inbox.Unsubscribe())
}

func coreLimits(nc *nats.Conn) {
	sub := must(nc.SubscribeSync("big"))
	check(nc.Publish("big", make([]byte, 1<<20)))
	say("largest payload", len(must(sub.NextMsg(2*time.Second)).Data))
	say("too large", nc.Publish("big", make([]byte, 1<<20+1)))
}

func coreDrain(nc *nats.Conn) {
	other := must(nats.Connect(nc.ConnectedUrl()))
	got, closed := []string{}, make(chan struct{})
	must(other.Subscribe("drain.*", func(m *nats.Msg) {
		time.Sleep(time.Millisecond)
		got = append(got, m.Subject)
	}))
	check(other.Flush())
	for i := range 20 {
		check(nc.Publish(fmt.Sprintf("drain.%02d", i), nil))
	}
	check(nc.Flush())
	check(other.Flush())
	other.SetClosedHandler(func(*nats.Conn) { close(closed) })
	check(other.Drain())
	<-closed
	sort.Strings(got)
	say("drain", strings.Join(got, " "), other.IsClosed())
	say("rtt", must(nc.RTT()) < time.Second)
}
