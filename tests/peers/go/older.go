package main

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// olderPart: the client's first JetStream interface, which most programs in the field still use.
func olderPart(_ context.Context, nc *nats.Conn, _ jetstream.JetStream) {
	js := must(nc.JetStream())
	must(js.AddStream(&nats.StreamConfig{Name: "OLD", Subjects: []string{"old.*"}}))
	for i := range 30 {
		must(js.Publish("old.x", fmt.Appendf(nil, "%d", i)))
	}
	read := func(label string, acks bool, count int, sub *nats.Subscription, err error) {
		check(err)
		words := ""
		for range count {
			m := must(sub.NextMsg(2 * time.Second))
			if acks {
				check(m.Ack())
			}
			words += string(m.Data) + " "
		}
		say(label, words)
		check(sub.Unsubscribe())
	}
	sub, err := js.SubscribeSync("old.*")
	read("ephemeral push", true, 30, sub, err)
	sub, err = js.SubscribeSync("old.*", nats.Durable("keeps"), nats.DeliverLast())
	read("durable push", true, 1, sub, err)
	sub, err = js.SubscribeSync("old.*", nats.OrderedConsumer())
	read("ordered push", false, 30, sub, err)
	sub, err = js.QueueSubscribeSync("old.*", "crew")
	read("queue push", true, 30, sub, err)
	pull := must(js.PullSubscribe("old.*", "puller"))
	words := ""
	for _, m := range must(pull.Fetch(12)) {
		check(m.AckSync())
		words += string(m.Data) + " "
	}
	say("pull", words)
	check(pull.Unsubscribe())
	say("consumers", len(must(js.StreamInfo("OLD")).Config.Subjects), failure(js.ConsumerInfo("OLD", "none")))
	sub = must(js.PullSubscribe("old.*", "", nats.BindStream("OLD")))
	info := must(sub.ConsumerInfo())
	say("ephemeral pull", info.Config.AckPolicy.String(), info.Config.Durable == "", len(must(sub.Fetch(100, nats.MaxWait(time.Second)))))
	check(sub.Unsubscribe())
	check(js.DeleteStream("OLD"))
}
