package main

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// publishPart: acks, duplicates and expectations.
func publishPart(ctx context.Context, nc *nats.Conn, js jetstream.JetStream) {
	s := must(js.CreateStream(ctx, jetstream.StreamConfig{Name: "PUB", Subjects: []string{"pub.>"}, Duplicates: 400 * time.Millisecond}))
	ack := must(js.Publish(ctx, "pub.a", []byte("one")))
	say("ack", ack.Stream, ack.Sequence, ack.Duplicate, ack.Domain)
	for _, id := range []string{"x", "x", "y"} {
		ack = must(js.Publish(ctx, "pub.a", nil, jetstream.WithMsgID(id)))
		say("id "+id, ack.Sequence, ack.Duplicate)
	}
	for label, options := range inOrderOf(
		publishEntry{"stream", []jetstream.PublishOpt{jetstream.WithExpectStream("PUB")}},
		publishEntry{"other stream", []jetstream.PublishOpt{jetstream.WithExpectStream("OTHER")}},
		publishEntry{"last sequence", []jetstream.PublishOpt{jetstream.WithExpectLastSequence(4)}},
		publishEntry{"stale last sequence", []jetstream.PublishOpt{jetstream.WithExpectLastSequence(4)}},
		publishEntry{"last for subject", []jetstream.PublishOpt{jetstream.WithExpectLastSequencePerSubject(5)}},
		publishEntry{"stale last for subject", []jetstream.PublishOpt{jetstream.WithExpectLastSequencePerSubject(5)}},
		publishEntry{"none for subject", []jetstream.PublishOpt{jetstream.WithExpectLastSequencePerSubject(0)}},
		publishEntry{"last id", []jetstream.PublishOpt{jetstream.WithMsgID("z")}},
		publishEntry{"expected last id", []jetstream.PublishOpt{jetstream.WithExpectLastMsgID("z")}},
		publishEntry{"wrong last id", []jetstream.PublishOpt{jetstream.WithExpectLastMsgID("w")}},
	) {
		ack, err := js.Publish(ctx, "pub.a", nil, options...)
		if err != nil {
			say("expect "+label, err)
		} else {
			say("expect "+label, ack.Sequence, ack.Duplicate)
		}
	}
	say("none on a new subject", must(js.Publish(ctx, "pub.new", nil, jetstream.WithExpectLastSequencePerSubject(0))).Sequence)
	time.Sleep(600 * time.Millisecond)
	say("id after its window", must(js.Publish(ctx, "pub.a", nil, jetstream.WithMsgID("x"))).Duplicate)
	say("no stream", failure(js.Publish(ctx, "nobody", nil, jetstream.WithRetryAttempts(0))))
	say("plain publish", nc.Publish("pub.plain", []byte("fire and forget")), nc.Flush())
	say("kept", must(s.GetLastMsgForSubject(ctx, "pub.plain")).Data)

	before := must(s.Info(ctx)).State.LastSeq
	futures := make([]jetstream.PubAckFuture, 0, 1000)
	for i := range 1000 {
		futures = append(futures, must(js.PublishAsync(fmt.Sprintf("pub.n.%d", i%10), fmt.Appendf(nil, "%d", i))))
	}
	<-js.PublishAsyncComplete()
	inOrder := true
	for i, future := range futures {
		select {
		case ack := <-future.Ok():
			inOrder = inOrder && ack.Sequence == before+1+uint64(i)
		case err := <-future.Err():
			say("asynchronous publish", i, err)
		}
	}
	say("asynchronous", inOrder, js.PublishAsyncPending(), must(s.Info(ctx)).State.Msgs)
	refused := must(js.PublishAsync("pub.a", nil, jetstream.WithExpectLastSequence(3)))
	select {
	case <-refused.Ok():
		say("asynchronous refusal", "accepted")
	case err := <-refused.Err():
		say("asynchronous refusal", err)
	}

	must(js.UpdateStream(ctx, jetstream.StreamConfig{Name: "PUB", Subjects: []string{"pub.>"}, NoAck: true}))
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	say("stream without acks", failure(js.Publish(short, "pub.a", nil)))
	check(js.DeleteStream(ctx, "PUB"))
}
