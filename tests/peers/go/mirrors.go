package main

import (
	"context"
	"sort"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// eventually repeats a call until it gives what is wanted: copies and links come up by themselves.
func eventually(ctx context.Context, what string, done func() bool) {
	for !done() {
		if ctx.Err() != nil {
			panic("never: " + what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// holds waits until a key has this value there.
func holds(ctx context.Context, kv jetstream.KeyValue, key, wanted string) {
	eventually(ctx, key+" = "+wanted, func() bool {
		e, err := kv.Get(ctx, key)
		return err == nil && string(e.Value()) == wanted
	})
}

func gone(ctx context.Context, kv jetstream.KeyValue, key string) {
	eventually(ctx, key+" gone", func() bool { _, err := kv.Get(ctx, key); return err == jetstream.ErrKeyNotFound })
}

// mirrorsPart: a bucket of the domain "hub" mirrored here, read and written through the mirror; and buckets with sources.
func mirrorsPart(ctx context.Context, nc *nats.Conn, js jetstream.JetStream) {
	hub := must(jetstream.NewWithDomain(nc, "hub"))
	var origin jetstream.KeyValue
	eventually(ctx, "the bucket in the hub", func() bool {
		once, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		kv, err := hub.CreateKeyValue(once, jetstream.KeyValueConfig{Bucket: "ORIGIN", History: 3})
		origin = kv
		return err == nil
	})
	must(origin.PutString(ctx, "a", "1"))
	must(origin.PutString(ctx, "a", "2"))
	must(origin.PutString(ctx, "b.c", "3"))
	copied := must(js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "COPY", History: 3,
		Mirror: &jetstream.StreamSource{Name: "ORIGIN", External: &jetstream.ExternalStream{APIPrefix: "$JS.hub.API"}}}))
	say("stream behind the mirror", config(must(must(js.Stream(ctx, "KV_COPY")).Info(ctx))))
	holds(ctx, copied, "b.c", "3")
	say("get from the mirror", valueOr(copied.Get(ctx, "a")), valueOr(copied.Get(ctx, "none")))
	say("revision from the mirror", valueOr(copied.GetRevision(ctx, "a", 1)))
	say("put through the mirror", must(copied.PutString(ctx, "d", "through")), valueOr(origin.Get(ctx, "d")))
	holds(ctx, copied, "d", "through")
	say("create through the mirror", must(copied.Create(ctx, "e", []byte("new"))), failure(copied.Create(ctx, "e", nil)))
	say("update through the mirror", must(copied.Update(ctx, "e", []byte("newer"), 5)), failure(copied.Update(ctx, "e", nil, 5)))
	holds(ctx, copied, "e", "newer")
	say("delete through the mirror", copied.Delete(ctx, "d"), valueOr(origin.Get(ctx, "d")))
	gone(ctx, copied, "d")
	say("purge through the mirror", copied.Purge(ctx, "b.c"), valueOr(origin.Get(ctx, "b.c")))
	gone(ctx, copied, "b.c")
	for _, e := range must(copied.History(ctx, "a")) {
		say("history in the mirror", value(e))
	}
	keys := must(copied.Keys(ctx))
	sort.Strings(keys)
	say("keys of the mirror", keys)
	w := must(copied.Watch(ctx, "live.*"))
	say("watch", value(<-w.Updates()))
	must(origin.PutString(ctx, "live.x", "now"))
	say("watch", value(<-w.Updates()))
	check(w.Stop())
	sourcesPart(ctx, js, hub)
}

// sourcesPart: two buckets copied into a third, which takes writes of its own.
func sourcesPart(ctx context.Context, js, hub jetstream.JetStream) {
	near := must(js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "NEAR"}))
	far := must(hub.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "FAR"}))
	must(near.PutString(ctx, "n.1", "near"))
	must(far.PutString(ctx, "f.1", "far"))
	both := must(js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "BOTH", Sources: []*jetstream.StreamSource{
		{Name: "NEAR"}, {Name: "FAR", External: &jetstream.ExternalStream{APIPrefix: "$JS.hub.API"}}}}))
	made := must(must(js.Stream(ctx, "KV_BOTH")).Info(ctx))
	say("stream behind both", config(made))
	holds(ctx, both, "n.1", "near")
	holds(ctx, both, "f.1", "far")
	must(both.PutString(ctx, "own", "own"))
	must(near.PutString(ctx, "n.2", "later"))
	holds(ctx, both, "n.2", "later")
	check(near.Delete(ctx, "n.1"))
	gone(ctx, both, "n.1")
	keys := must(both.Keys(ctx))
	sort.Strings(keys)
	say("keys of both", keys, valueOr(near.Get(ctx, "own")))
}
