package main

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// policiesPart: where consumers begin, what they filter, what configurations are refused.
func policiesPart(ctx context.Context, _ *nats.Conn, js jetstream.JetStream) {
	s := fill(ctx, js, "POL", 6)
	time.Sleep(20 * time.Millisecond)
	middle := time.Now().UTC()
	for i := 6; i < 9; i++ {
		must(js.Publish(ctx, "pol.late", fmt.Appendf(nil, "%d", i)))
	}
	for label, config := range inOrderOf(
		consumerEntry{"all", jetstream.ConsumerConfig{}},
		consumerEntry{"last", jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverLastPolicy}},
		consumerEntry{"new", jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverNewPolicy}},
		consumerEntry{"by sequence", jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: 4}},
		consumerEntry{"by time", jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &middle}},
		consumerEntry{"last per subject", jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy, FilterSubject: "pol.>"}},
		consumerEntry{"filter", jetstream.ConsumerConfig{FilterSubject: "pol.odd"}},
		consumerEntry{"filters", jetstream.ConsumerConfig{FilterSubjects: []string{"pol.odd", "pol.late"}}},
		consumerEntry{"last of a filter", jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverLastPolicy, FilterSubject: "pol.even"}},
		consumerEntry{"filter without matches", jetstream.ConsumerConfig{FilterSubject: "pol.none"}},
		consumerEntry{"ack none", jetstream.ConsumerConfig{AckPolicy: jetstream.AckNonePolicy}},
		consumerEntry{"ack all", jetstream.ConsumerConfig{AckPolicy: jetstream.AckAllPolicy}},
		consumerEntry{"named", jetstream.ConsumerConfig{Name: "named", Description: "a name", Metadata: map[string]string{"k": "v"}}},
		consumerEntry{"inactive", jetstream.ConsumerConfig{Name: "inactive", InactiveThreshold: time.Minute, SampleFrequency: "10"}},
	) {
		c := must(s.CreateConsumer(ctx, config))
		info := c.CachedInfo()
		shown := consumerConfig(info)
		if config.Name == "" {
			shown.Name = ""
		}
		shown.OptStartTime = nil
		say("consumer "+label, shown, info.NumPending)
		messages := all(must(c.FetchNoWait(20)))
		say("delivers "+label, datas(messages))
		if len(messages) > 2 && config.AckPolicy == jetstream.AckAllPolicy {
			say("acks all", messages[2].DoubleAck(ctx), standing(must(c.Info(ctx))))
		}
	}
	policiesRefused(ctx, s)
	policiesUpdated(ctx, s)
	check(js.DeleteStream(ctx, "POL"))
}

func policiesRefused(ctx context.Context, s jetstream.Stream) {
	for label, config := range inOrderOf(
		consumerEntry{"filter and filters", jetstream.ConsumerConfig{FilterSubject: "pol.odd", FilterSubjects: []string{"pol.late"}}},
		consumerEntry{"overlapping filters", jetstream.ConsumerConfig{FilterSubjects: []string{"pol.*", "pol.late"}}},
		consumerEntry{"empty filter", jetstream.ConsumerConfig{FilterSubjects: []string{"pol.a", ""}}},
		consumerEntry{"sequence without policy", jetstream.ConsumerConfig{OptStartSeq: 4}},
		consumerEntry{"policy without sequence", jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy}},
		consumerEntry{"policy without time", jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverByStartTimePolicy}},
		consumerEntry{"last per subject without filter", jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy}},
		consumerEntry{"backoff longer than deliveries", jetstream.ConsumerConfig{BackOff: []time.Duration{1e9, 2e9, 3e9}, MaxDeliver: 2}},
		consumerEntry{"replicas", jetstream.ConsumerConfig{Replicas: 3}},
		consumerEntry{"filter outside", jetstream.ConsumerConfig{FilterSubject: "elsewhere"}},
		consumerEntry{"rate limit on pull", jetstream.ConsumerConfig{RateLimit: 1024}},
		consumerEntry{"exists with another configuration", jetstream.ConsumerConfig{Name: "named", AckPolicy: jetstream.AckNonePolicy}},
		consumerEntry{"name and durable differ", jetstream.ConsumerConfig{Name: "one", Durable: "two"}},
	) {
		say("refused, "+label, failure(s.CreateConsumer(ctx, config)))
	}
	say("update missing", failure(s.UpdateConsumer(ctx, jetstream.ConsumerConfig{Durable: "nobody"})))
}

func policiesUpdated(ctx context.Context, s jetstream.Stream) {
	base := jetstream.ConsumerConfig{Durable: "up", AckPolicy: jetstream.AckExplicitPolicy, FilterSubject: "pol.odd"}
	c := must(s.CreateConsumer(ctx, base))
	say("before the update", datas(all(must(c.FetchNoWait(2)))))
	base.FilterSubject, base.Description, base.MaxAckPending, base.AckWait = "pol.late", "updated", 50, time.Minute
	c = must(s.UpdateConsumer(ctx, base))
	say("updated", consumerConfig(c.CachedInfo()), standing(c.CachedInfo()))
	say("after the update", datas(all(must(c.FetchNoWait(20)))))
	base.AckPolicy = jetstream.AckAllPolicy
	say("ack policy is fixed", failure(s.UpdateConsumer(ctx, base)))
	base.AckPolicy, base.DeliverPolicy = jetstream.AckExplicitPolicy, jetstream.DeliverNewPolicy
	say("deliver policy is fixed", failure(s.UpdateConsumer(ctx, base)))
}

// pushPart: consumers that the server delivers to a subject of its own accord.
func pushPart(ctx context.Context, nc *nats.Conn, js jetstream.JetStream) {
	fill(ctx, js, "PUSH", 20)
	c := must(js.CreatePushConsumer(ctx, "PUSH", jetstream.ConsumerConfig{Durable: "push", DeliverSubject: "push-to",
		AckPolicy: jetstream.AckExplicitPolicy, IdleHeartbeat: 500 * time.Millisecond, FlowControl: true}))
	say("push consumer", consumerConfig(c.CachedInfo()), c.CachedInfo().PushBound)
	got, enough := []jetstream.Msg{}, make(chan struct{})
	running := must(c.Consume(func(m jetstream.Msg) {
		check(m.Ack())
		if got = append(got, m); len(got) == 20 {
			close(enough)
		}
	}))
	<-enough
	say("pushed", datas(got))
	say("bound", must(c.Info(ctx)).PushBound)
	running.Stop()
	refused := func(label string, config jetstream.ConsumerConfig) {
		say("refused, "+label, failure(js.CreatePushConsumer(ctx, "PUSH", config)))
	}
	refused("cycle", jetstream.ConsumerConfig{DeliverSubject: "push.even"})
	refused("wildcard", jetstream.ConsumerConfig{DeliverSubject: "to.*"})
	refused("flow control without heartbeat", jetstream.ConsumerConfig{DeliverSubject: "to", FlowControl: true})
	refused("short heartbeat", jetstream.ConsumerConfig{DeliverSubject: "to", IdleHeartbeat: time.Millisecond})
	refused("max waiting", jetstream.ConsumerConfig{DeliverSubject: "to", MaxWaiting: 5})
	say("is not a pull consumer", failure(js.Consumer(ctx, "PUSH", "push")))

	group := must(js.CreatePushConsumer(ctx, "PUSH", jetstream.ConsumerConfig{Durable: "group", DeliverSubject: "group-to",
		DeliverGroup: "crew", AckPolicy: jetstream.AckNonePolicy}))
	first, second := must(nc.QueueSubscribeSync("group-to", "crew")), must(nc.QueueSubscribeSync("group-to", "crew"))
	check(nc.Flush())
	deadline, total := time.Now().Add(2*time.Second), 0
	for total < 20 && time.Now().Before(deadline) {
		a, _, _ := first.Pending()
		b, _, _ := second.Pending()
		total = a + b
		time.Sleep(5 * time.Millisecond)
	}
	say("deliver group", total, must(group.Info(ctx)).Delivered.Stream)
	check(js.DeleteStream(ctx, "PUSH"))
}

// workQueuePart: retention by work queue and by interest.
func workQueuePart(ctx context.Context, _ *nats.Conn, js jetstream.JetStream) {
	s := must(js.CreateStream(ctx, jetstream.StreamConfig{Name: "WORK", Subjects: []string{"work.*"}, Retention: jetstream.WorkQueuePolicy}))
	for i := range 6 {
		must(js.Publish(ctx, []string{"work.a", "work.b"}[i%2], fmt.Appendf(nil, "%d", i)))
	}
	a := must(s.CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: "a", AckPolicy: jetstream.AckExplicitPolicy, FilterSubject: "work.a"}))
	for label, config := range inOrderOf(
		consumerEntry{"overlap", jetstream.ConsumerConfig{Durable: "x", AckPolicy: jetstream.AckExplicitPolicy, FilterSubject: "work.*"}},
		consumerEntry{"no filter", jetstream.ConsumerConfig{Durable: "x", AckPolicy: jetstream.AckExplicitPolicy}},
		consumerEntry{"no acks", jetstream.ConsumerConfig{Durable: "x", FilterSubject: "work.b", AckPolicy: jetstream.AckNonePolicy}},
		consumerEntry{"not from the start", jetstream.ConsumerConfig{Durable: "x", FilterSubject: "work.b", AckPolicy: jetstream.AckExplicitPolicy,
			DeliverPolicy: jetstream.DeliverNewPolicy}},
	) {
		say("refused, "+label, failure(s.CreateConsumer(ctx, config)))
	}
	must(s.CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: "b", AckPolicy: jetstream.AckExplicitPolicy, FilterSubject: "work.b"}))
	for _, m := range all(must(a.FetchNoWait(10))) {
		check(m.DoubleAck(ctx))
	}
	say("after the acks", state(must(s.Info(ctx, jetstream.WithSubjectFilter(">")))))
	check(s.DeleteConsumer(ctx, "b"))
	say("after the consumer went", state(must(s.Info(ctx))))
	check(js.DeleteStream(ctx, "WORK"))

	s = must(js.CreateStream(ctx, jetstream.StreamConfig{Name: "CARE", Subjects: []string{"care"}, Retention: jetstream.InterestPolicy}))
	say("without interest", must(js.Publish(ctx, "care", nil)).Sequence, state(must(s.Info(ctx))))
	one := must(s.CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: "one", AckPolicy: jetstream.AckExplicitPolicy}))
	two := must(s.CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: "two", AckPolicy: jetstream.AckExplicitPolicy}))
	must(js.Publish(ctx, "care", []byte("both")))
	check(must(one.Next(jetstream.FetchMaxWait(time.Second))).DoubleAck(ctx))
	say("one acked", must(s.Info(ctx)).State.Msgs)
	check(must(two.Next(jetstream.FetchMaxWait(time.Second))).DoubleAck(ctx))
	say("both acked", state(must(s.Info(ctx))))
	check(js.DeleteStream(ctx, "CARE"))
}
